"""Runs written by hand: outcomes are what a test says, and no model was ever there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from boostlora.engine.analysis.comparison.sides import Side
from boostlora.engine.boosting.experiment import data_sha256
from boostlora.engine.contracts import Outcome, Splits
from boostlora.engine.contracts.records import RoundRecord
from boostlora.engine.foundation.rng import Streams
from boostlora.engine.records.run_result import RESULT, best_of
from boostlora.engine.registry import Registry
from boostlora.engine.runs.directory import PROVENANCE, RunDirectory
from boostlora.engine.sdk.judge import metrics_of
from boostlora.engine.spec.resolve import load_spec

SPLITS = ("train", "validation", "test")

SUMS = """\
name = "sums"
rounds = 2
[task]
use = "language-modelling"
path = "sums.jsonl"
prompt = "Question: what is {q}?\\nAnswer:"
completion = " {a}"
correct = "greedy"
match = "last-number"
[model]
use = "scratch-causal-lm"
[backend]
use = "torch"
"""


def outcome(
    ids: Sequence[int], correct: Sequence[bool], loss: Sequence[float] | None = None, **more: Any
) -> Outcome:
    """An outcome of these verdicts; a right answer is class 1, a wrong one class 0."""
    right = np.array(correct, dtype=np.bool_)
    losses = np.where(right, 0.25, 1.5) if loss is None else np.array(loss, dtype=np.float64)
    return Outcome(
        ids=np.array(ids, dtype=np.int64),
        prediction=right.astype(np.int64),
        loss=losses,
        correct=right,
        reward=right.astype(float),
        **more,
    )


def side(now: Outcome, base: Outcome, **more: Any) -> Side:
    """A side without a folder."""
    given = {
        "path": Path("runs/toy/aaaa"),
        "round": 2,
        "last": 2,
        "chosen": False,
        "split": "test",
        "tree": {},
    }
    given |= {
        "hashes": {"data": "d", "weights": "w"},
        "status": "completed",
        "digest": "x",
        "plugin_files": (),
    }
    return Side(**{**given, "now": now, "base": base, **more})


@cache
def load(spec_file: Path, *settings: str) -> tuple[Any, Splits]:
    """A spec and its data, as a run loads them."""
    spec = load_spec(spec_file, Registry.load(), settings)
    return spec, spec.task.load(Streams(spec.head.seed)("split"))


def write_run(
    folder: Path, spec: Any, splits: Splits, rounds: Sequence[Mapping[str, Outcome]], *, ended: bool = True
) -> Path:
    """A run whose rounds have these outcomes; the best on validation is round 1. Returns its folder."""
    path = folder / spec.head.name / spec.short_hash
    directory = RunDirectory.create(path, spec)
    hashes = {"spec": spec.sha256, "data": data_sha256(splits), "weights": "0" * 64}
    directory.write_json(PROVENANCE, {"hashes": hashes, "versions": {}})
    for number, outcomes in enumerate(rounds):
        found = outcomes if number else {**outcomes, "validation": _worse(outcomes["validation"])}
        metrics = {split: metrics_of(found[split]) for split in SPLITS}
        record = RoundRecord(round=number, status="merged" if number else "base", failures=0, **metrics)
        directory.commit(record, found)
    if ended:
        result = {"status": "completed", "reason": "all rounds done", "rounds": len(rounds) - 1}
        best = best_of(directory.records, "accuracy", 0.0)
        directory.write_json(RESULT, {**result, "best_round": best, "digest": directory.digest})
    return path


def _worse(found: Outcome) -> Outcome:
    """With the first example wrong."""
    return attrs.evolve(found, correct=found.correct & (np.arange(len(found)) > 0))


def judged(
    splits: Splits, wrong: Sequence[int], texts: bool = False, loss: float = 1.5
) -> dict[str, Outcome]:
    """Outcomes in which the test examples at the places `wrong` are wrong and all else is right.

    With `texts`, the model wrote the right completion to what it gets right, and `I say 99` to the rest.
    """
    found = dict[str, Outcome]()
    for split in SPLITS:
        examples = getattr(splits, split)
        right = np.ones(len(examples), dtype=np.bool_)
        if split == "test":
            right[list(wrong)] = False
        one = outcome(examples.ids.tolist(), right.tolist(), np.where(right, 0.25, loss).tolist())
        if texts:
            said = [c if r else "I say 99" for c, r in zip(examples.inputs.completions, right, strict=True)]
            one = attrs.evolve(one, texts=tuple(said))
        elif splits.classes:
            guess = np.where(right, examples.labels, (examples.labels + 1) % len(splits.classes))
            one = attrs.evolve(one, prediction=guess)
        found[split] = one
    return found
