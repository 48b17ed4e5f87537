"""How far the memory that `boostlora check` forecasts lies from what a run takes.

Every setting is one round of a small random model, in a process of its own that has run a tiny model before. By how much its peak
resident size then rises is what the run itself adds: weights, activations, frames, and what the allocator keeps, but no libraries.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from side_by_side import show

from boostlora.engine.boosting.experiment import prepare
from boostlora.engine.boosting.loop import boost
from boostlora.engine.boosting.plan import Plan
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.registry import Registry
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.runs.provenance import memory_bytes
from boostlora.engine.spec.resolve import load_spec

MIB = 2**20
ROWS = 96
LENGTHS = {"even-100": (100, 100), "even-400": (400, 400), "uneven": (40, 500)}
"""Characters (about as many tokens) of most texts, and of one in eight."""
ENCODER = """
[task]
use = "text-classification"

[model]
use = "scratch-classifier"
family = "bert"
layers = 4
hidden = 256
intermediate = 1024
max_length = 512
pretrain_steps = 1
pretrain_batch = 1
"""
DECODER = """
[task]
use = "language-modelling"

[model]
use = "scratch-causal-lm"
layers = 4
hidden = 256
intermediate = 768
max_length = 640
pretrain_steps = 1
pretrain_batch = 1
"""
POLICY = """
[task]
use = "arithmetic"
train = 96
validation = 16
test = 16
source = 64
max_new_tokens = 64

[objective]
use = "grpo"

[model]
use = "scratch-causal-lm"
layers = 4
hidden = 256
intermediate = 768
pretrain_steps = 1
pretrain_batch = 1
"""
ALTERNATING = '''
"""Sums whose answers are rewarded in turn, so that every group has variance."""

import attrs
import numpy as np

from boostlora.engine.hookspecs import hookimpl
from boostlora.plugins.tasks.arithmetic import Arithmetic


@attrs.frozen(kw_only=True)
class Alternating(Arithmetic):
    def judge(self, examples, predictions):
        outcome = super().judge(examples, predictions)
        return attrs.evolve(outcome, reward=np.arange(len(outcome)) % 2.0)


@hookimpl
def register_tasks(register):
    register("alternating", Alternating)
'''
KINDS = {"encoder": ENCODER, "decoder": DECODER, "policy": POLICY}
REST = """
[sampler]
use = "all"

[optimizer]
steps = 2
batch_size = 32

[backend]
use = "torch"
device = "cpu"
threads = 1
"""
GRADIENT, LORA, FULL = "basis.use=gradient", "adapter.use=lora", "adapter.use=full"
GREEDY = ("task.correct=greedy", "task.max_new_tokens=64")
BATCH_8 = ("optimizer.batch_size=8", "backend.eval_tokens=8192")
SETTINGS: Sequence[tuple[str, str, tuple[str, ...]]] = (
    ("encoder", "even-100", ()),
    ("encoder", "even-400", ()),
    ("encoder", "uneven", ()),
    ("encoder", "uneven", ("optimizer.batch_size=16",)),
    ("encoder", "uneven", ("backend.micro_batch=4",)),
    ("encoder", "uneven", ("backend.checkpointing=true",)),
    ("encoder", "uneven", (GRADIENT,)),
    ("encoder", "uneven", (GRADIENT, "backend.micro_batch=2")),
    ("encoder", "uneven", (LORA,)),
    ("encoder", "even-400", (FULL,)),
    ("encoder", "even-400", ("backend.micro_batch=1", "backend.eval_tokens=16384")),
    ("decoder", "even-100", ()),
    ("decoder", "even-400", ()),
    ("decoder", "uneven", ()),
    ("decoder", "uneven", ("backend.micro_batch=4",)),
    ("decoder", "uneven", (GRADIENT, "backend.micro_batch=2")),
    ("decoder", "uneven", (LORA,)),
    ("decoder", "even-400", ("backend.checkpointing=true",)),
    ("decoder", "even-400", ("backend.dtype=bfloat16",)),
    ("decoder", "uneven", (*GREEDY, "backend.micro_batch=1", "backend.eval_tokens=32768")),
    ("policy", "own rewards", BATCH_8),
    ("policy", "alternating rewards", BATCH_8),
    ("policy", "alternating rewards", (*BATCH_8, "backend.micro_batch=4")),
)  # fmt: skip
CHEAP = ("optimizer.steps=1", "optimizer.batch_size=1")
TINY = ("model.layers=1", "model.hidden=16", "model.intermediate=16", *CHEAP)


def write_texts(path: Path, kind: str, lengths: tuple[int, int], rows: int) -> None:
    """Texts of random letters; the label or completion is determined by the first."""
    rng, most = np.random.default_rng(0), "abcdefgh"
    with path.open("w") as file:
        for i in range(rows):
            text = "".join(rng.choice(list(most), lengths[i % 8 == 0]))
            row = (
                {"text": text, "label": text[0]}
                if kind == "encoder"
                else {"prompt": text[:-8], "completion": text[-8:]}
            )
            file.write(json.dumps(row) + "\n")


def spec_of(folder: Path, kind: str, lengths: str, changes: Sequence[str], rows: int = ROWS) -> Any:
    """The setting's spec."""
    name = f"{kind}-{lengths.replace(' ', '-')}-{rows}"
    path = folder / f"{name}.toml"
    path.write_text(f'name = "{name}"\nrounds = 1\n' + KINDS[kind] + REST)
    if kind == "policy":
        task = ("task.use=alternating",) if lengths == "alternating rewards" else ()
        return load_spec(path, registry(folder), (*task, *changes))
    texts = folder / f"{name}.jsonl"
    write_texts(texts, kind, LENGTHS[lengths], rows)
    return load_spec(path, registry(folder), (f"task.path={texts}", *changes))


def registry(folder: Path) -> Registry:
    """All plugins, and the task with alternating rewards."""
    plugin = folder / "alternating.py"
    plugin.write_text(ALTERNATING)
    return Registry.load((plugin,))


def run(spec: Any, folder: Path) -> Plan:
    """Run the spec, and return its plan."""
    prepared = prepare(spec)
    directory = RunDirectory.create(Path(tempfile.mkdtemp(dir=folder)) / "run", spec)
    boost(prepared, directory, registry(folder), RunContext(cache=folder / "cache"))
    return prepared.plan


def measure(tiny: Any, spec: Any, folder: Path) -> None:
    """Print the bytes forecast for the spec, and by how many its run raises the peak of this process, which has run a tiny one."""
    run(tiny, folder)
    before = memory_bytes()
    print(run(spec, folder).memory_bytes, memory_bytes() - before)


def measure_one(number: int, folder: Path) -> None:
    """`measure` one setting."""
    kind, lengths, changes = SETTINGS[number]
    tiny = spec_of(folder, kind, lengths, (*TINY, *changes), 20)
    measure(tiny, spec_of(folder, kind, lengths, changes), folder)


def main() -> None:
    """Print forecast, peak and their ratio for every setting."""
    rows = list[Sequence[object]]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, (kind, lengths, changes) in enumerate(SETTINGS):
            # Makes the model, which is then cached.
            run(spec_of(folder, kind, lengths, CHEAP), folder)
            command = [sys.executable, __file__, str(number), name]
            forecast, peak = map(int, subprocess.check_output(command, text=True).split())  # noqa: S603
            options = "".join(f", {change.split('.', 1)[1]}" for change in changes)
            rows.append(
                (f"{kind}, {lengths}{options}", forecast // MIB, peak // MIB, f"{forecast / peak:.2f}")
            )
    show(("setting", "forecast MiB", "peak MiB", "forecast / peak"), rows)


if __name__ == "__main__":
    if sys.argv[1:]:
        measure_one(int(sys.argv[1]), Path(sys.argv[2]))
    else:
        main()
