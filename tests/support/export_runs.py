"""Small runs of every family, boosted on the spot and ready to be exported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from boostlora.engine.boosting.experiment import prepare
from boostlora.engine.boosting.loop import boost
from boostlora.engine.ensemble.ensemble import Ensemble
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.registry import Registry
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.spec.resolve import load_spec
from boostlora.engine.testing import ExportCase

Prepare = Callable[[Path], object]

ADAPTER = """
[adapter]
rank = 2
u = 4
[optimizer]
lr = {lr}
steps = 6
batch_size = 8
"""
TORCH = """
[backend]
use = "torch"
device = "cpu"
dtype = "{dtype}"
threads = 1
"""
REFERENCE = '[backend]\nuse = "reference"\nthreads = 1\n'
CAUSAL = """
name = "words"
rounds = 3
[task]
use = "language-modelling"
path = "words.jsonl"
[model]
{model}
"""
CLASSIFIER = """
name = "moods"
rounds = 3
[task]
use = "text-classification"
path = "moods.csv"
text = "text"
label = "label"
[model]
{model}
"""
MLP = """
name = "rows"
rounds = 3
[task]
use = "table"
path = "rows.csv"
label = "label"
[model]
use = "mlp"
hidden = [12, 12]
epochs = 3
"""
SMALL = "layers = 2\nhidden = 16\nheads = 2\nintermediate = 24\npretrain_steps = 20\n"


def as_is(folder: Path) -> None:
    """Leave a model's folder as transformers saves it."""


def boosted(folder: Path, text: str, cache: Path, plugins: tuple[Path, ...] = ()) -> Path:
    """The folder of a run of a spec, boosted to its end; paths in the spec are relative to `folder`."""
    spec_file = folder / "spec.toml"
    spec_file.write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BOOSTLORA_CACHE", str(cache))
        registry = Registry.load(plugins)
        prepared = prepare(load_spec(spec_file, registry))
        directory = RunDirectory.create(folder / "run", prepared.spec)
        result = boost(prepared, directory, registry, RunContext(cache=cache))
    assert result.status == "completed", result.reason
    return folder / "run"


def case_of(run: Path, cache: Path, plugins: tuple[Path, ...] = ()) -> ExportCase:
    """A run's folder as exporters and their suite take it, asked with its test split."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BOOSTLORA_CACHE", str(cache))
        return ExportCase.of_run(Ensemble.open(run, plugins=plugins, context=RunContext(cache=cache)))


def words(folder: Path) -> None:
    """Prompts and completions."""
    rows = [{"prompt": f"{i} + {i % 7} =", "completion": f" {i + i % 7}"} for i in range(40)]
    (folder / "words.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def moods(folder: Path) -> None:
    """Texts of two classes that have nothing to do with them, so that there is always something left to learn."""
    texts = [f"{'good' if i % 3 else 'bad'} {'cat' if i % 2 else 'dog'} {i % 11}" for i in range(60)]
    lines = [f"{text},{'good' if i * i % 13 % 2 else 'bad'}" for i, text in enumerate(texts)]
    (folder / "moods.csv").write_text("text,label\n" + "\n".join(lines) + "\n")


def peptides(folder: Path) -> None:
    """Sequences of two classes that have nothing to do with them."""
    letters = "LAGVSERTIDPKQNFYMHWC"
    texts = ["".join(letters[(i * k + k) % 20] for k in range(1, 9 + i % 5)) for i in range(60)]
    lines = [f"{text},{'pore' if i * i % 13 % 2 else 'none'}" for i, text in enumerate(texts)]
    (folder / "moods.csv").write_text("text,label\n" + "\n".join(lines) + "\n")


def causal_run(
    folder: Path,
    cache: Path,
    *,
    family: str = "llama",
    after: Prepare = as_is,
    options: str = "",
    dtype: str = "float32",
    lr: float = 0.3,
    **toy: Any,
) -> ExportCase:
    """An `hf-causal-lm` of random weights; `after(model folder)` may change its files before the run."""
    from .hf_toys import causal

    folder.mkdir(parents=True, exist_ok=True)
    words(folder)
    after(causal(folder / "model", family, **toy))
    text = CAUSAL.format(model=f'use = "hf-causal-lm"\npath = "model"\n{options}')
    run = boosted(folder, text + ADAPTER.format(lr=lr) + TORCH.format(dtype=dtype), cache)
    return case_of(run, cache)


def classifier_run(
    folder: Path,
    cache: Path,
    *,
    family: str = "bert",
    after: Prepare = as_is,
    options: str = "",
    dtype: str = "float32",
    lr: float = 0.3,
) -> ExportCase:
    """An `hf-classifier` of random weights."""
    from .hf_toys import encoder

    folder.mkdir(parents=True, exist_ok=True)
    (peptides if family == "esm" else moods)(folder)
    after(encoder(folder / "model", family))
    text = CLASSIFIER.format(model=f'use = "hf-classifier"\npath = "model"\n{options}')
    run = boosted(folder, text + ADAPTER.format(lr=lr) + TORCH.format(dtype=dtype), cache)
    return case_of(run, cache)


def own_head_run(
    folder: Path,
    cache: Path,
    *,
    family: str = "bert",
    after: Prepare = as_is,
    options: str = "",
    trained: bool = True,
    lr: float = 0.3,
) -> ExportCase:
    """An `hf-classifier` with its architecture's head: of the folder, or a new one on an encoder."""
    from .hf_toys import encoder, labelled

    folder.mkdir(parents=True, exist_ok=True)
    moods(folder)
    after((labelled if trained else encoder)(folder / "model", family))
    own = f'use = "hf-classifier"\npath = "model"\nhead = "own"\nhead_c = 1.0\n{options}'
    text = CLASSIFIER.format(model=own)
    run = boosted(folder, text + ADAPTER.format(lr=lr) + TORCH.format(dtype="float32"), cache)
    return case_of(run, cache)


def scratch_causal_run(folder: Path, cache: Path, *, family: str = "qwen2", lr: float = 0.1) -> ExportCase:
    """A `scratch-causal-lm`."""
    folder.mkdir(parents=True, exist_ok=True)
    words(folder)
    model = f'use = "scratch-causal-lm"\nfamily = "{family}"\nkv_heads = 1\nmax_length = 32\n{SMALL}'
    text = CAUSAL.format(model=model) + ADAPTER.format(lr=lr) + TORCH.format(dtype="float32")
    return case_of(boosted(folder, text, cache), cache)


def scratch_classifier_run(folder: Path, cache: Path, *, family: str = "esm", lr: float = 0.1) -> ExportCase:
    """A `scratch-classifier`."""
    folder.mkdir(parents=True, exist_ok=True)
    (peptides if family == "esm" else moods)(folder)
    model = f'use = "scratch-classifier"\nfamily = "{family}"\nmax_length = 32\n{SMALL}'
    text = CLASSIFIER.format(model=model) + ADAPTER.format(lr=lr) + TORCH.format(dtype="float32")
    return case_of(boosted(folder, text, cache), cache)


def mlp_run(folder: Path, cache: Path, *, backend: str = REFERENCE, lr: float = 0.1) -> ExportCase:
    """A perceptron, by the reference unless told otherwise; no torch is needed."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [",".join(str((i * k) % 11 / 5) for k in range(1, 9)) + f",{i % 3}" for i in range(60)]
    (folder / "rows.csv").write_text("a,b,c,d,e,f,g,h,label\n" + "\n".join(lines) + "\n")
    text = MLP + ADAPTER.format(lr=lr) + backend
    return case_of(boosted(folder, text, cache), cache)
