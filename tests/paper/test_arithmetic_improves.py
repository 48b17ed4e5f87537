"""Learning from rewards, honestly: the shipped spec `arithmetic` makes its model better on sums it was never shown."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from boostlora.engine.contracts import Outcome
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.statistics.bootstrap import bca
from boostlora.engine.statistics.examples import compare_examples
from boostlora.engine.testing import assert_close

Command = Callable[..., "subprocess.CompletedProcess[str]"]

pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("transformers", reason="needs transformers")

pytestmark = pytest.mark.slow(reason="eight rounds of rewards")

ROUNDS, TESTED = 8, 500


def test_arithmetic_boosted_with_rewards_is_better_on_test_sums(boostlora: Command, tmp_path: Path) -> None:
    done = boostlora("run", "arithmetic", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    rounds = [e for e in map(json.loads, done.stdout.splitlines()) if e["event"] == "round_finished"]
    base, last = rounds[0], rounds[-1]
    assert last["round"] == ROUNDS
    gains = correct_gains(tmp_path)
    assert len(gains) == TESTED
    told = last["test"]["accuracy"] - base["test"]["accuracy"]
    assert_close(told, gains.mean(), atol=1e-12, what="what was told, and what is on disk")  # rounding
    assert last["test"]["measures"]["probability"] > base["test"]["measures"]["probability"]
    low, high = bca(gains) or (0.0, 0.0)
    assert low > 0.0, f"gain of {gains.mean():+.3f}, 95 % [{low:+.3f}, {high:+.3f}]"


def correct_gains(folder: Path) -> np.ndarray:
    """Right after the last round less right at the start, a test example each `(n,)`; McNemar's test agrees that it is a gain."""
    (line,) = folder.glob("runs/arithmetic/*/rounds.jsonl")
    directory = RunDirectory.open(line.parent)
    before, after = (directory.outcomes(number)["test"] for number in (0, ROUNDS))
    assert before.ids.tolist() == after.ids.tolist()
    pair = compare_examples([(answers(after), answers(before))])
    assert pair is not None
    assert pair.difference > 0.0
    assert pair.p < 0.05, pair
    return after.correct.astype(np.float64) - before.correct.astype(np.float64)


def answers(outcome: Outcome) -> tuple[np.ndarray, np.ndarray]:
    return outcome.ids, outcome.correct
