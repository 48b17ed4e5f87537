"""What tests of PEFT's exporters share: files, models that PEFT made, and runs of other kinds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from safetensors.torch import load_file

from boostlora.engine.testing import ExportCase, assert_close

from ..support.export_runs import CAUSAL, CLASSIFIER, TORCH, boosted, case_of, moods, words

ROUNDING = 2.0**-23
STEPS = "[optimizer]\nlr = 0.1\nsteps = 6\nbatch_size = 8\n"


def written(exporter: Any, case: ExportCase, folder: Path) -> Path:
    """The export in a new folder."""
    folder.mkdir()
    exporter.check(case.ensemble)
    exporter.write(case.ensemble, folder)
    return folder


def config_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "adapter_config.json").read_text())


def tensors_of(folder: Path) -> dict[str, np.ndarray]:
    found = load_file(folder / "adapter_model.safetensors")
    return {name: tensor.double().numpy() for name, tensor in found.items()}


def product(folder: Path, module: str) -> np.ndarray:
    """`B A` of a module, in float64."""
    found = tensors_of(folder)
    A, B = (found[f"base_model.model.{module}.lora_{side}.weight"] for side in "AB")
    return B @ A


def sum_of_updates(case: ExportCase, site: str) -> np.ndarray:
    pairs = [(s * L, M) for u, s in case.ensemble.updates(site) for L, M in (u.factors(),)]
    return np.asarray(sum(L @ M.T for L, M in pairs))


def base_module(case: ExportCase, dtype: Any = None) -> Any:
    """The base that a user would load, in float32."""
    import torch

    source = case.ensemble.source
    return source.build(source.blueprint, dtype or torch.float32)


def says(case: ExportCase, module: Any) -> np.ndarray:
    """Logits of a module that PEFT has had its hands on, by the run's backend."""
    source = attrs.evolve(case.ensemble.source, build=lambda *_: module)
    return case.backend.open(source, ()).logits(case.examples)


def tolerance(expected: np.ndarray, roundings: float = 128) -> float:
    """Roundings of the largest logit: the adapter's product is added in another order than the merge's.

    Random weights of size 0.3 take updates of size 10 here, which cancel: the evaluation in float32 itself was measured up to 50 roundings
    away from the same in float64, and the adapter's nearer to it; so the two may be twice as far from one another (82 were seen). An update that is not there moves logits by 1e5 roundings.
    """
    return roundings * ROUNDING * float(np.max(np.abs(expected)))


def answered(lines: str) -> dict[str, Any]:
    """What is left by the lines of a usage, run here and now: `texts` and `logits`."""
    left = dict[str, Any]()
    exec(compile(lines, "usage", "exec"), left)  # noqa: S102 - lines that are to be run
    return left


def assert_usage_answers(exporter: Any, case: ExportCase, folder: Path) -> None:
    """The lines ask something, and the answer is the evaluated model's; of a continuation, that of the next token.

    Roundings are of the size of the logits of all examples: the one logit of a single text may be next to nothing.
    """
    left = answered(exporter.usage(case.ensemble, str(folder)))
    rows = len(left["texts"])
    expected = case.evaluated(case.encode(left["texts"]))[:rows]
    allowed = max(tolerance(expected), tolerance(case.evaluated()))
    assert_close(left["logits"].numpy(), expected, atol=allowed, what="logits by usage")


def own_run(
    folder: Path, cache: Path, more: str, *, family: str = "llama", causal: bool = True, **toy: Any
) -> ExportCase:
    """A run whose spec ends with `more`: its adapter, its sites."""
    from ..support.hf_toys import causal as make_causal
    from ..support.hf_toys import encoder

    folder.mkdir(parents=True, exist_ok=True)
    (words if causal else moods)(folder)
    (make_causal if causal else encoder)(folder / "model", family, **toy)
    kind = "hf-causal-lm" if causal else "hf-classifier"
    text = (CAUSAL if causal else CLASSIFIER).format(model=f'use = "{kind}"\npath = "model"')
    return case_of(boosted(folder, text + more + STEPS + TORCH.format(dtype="float32"), cache), cache)
