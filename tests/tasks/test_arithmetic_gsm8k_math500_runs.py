"""`arithmetic`, `gsm8k` and `math500` through the command line, with a model made from nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .math_cases import competition, lines, problems

pytest.importorskip("transformers", reason="the model is Hugging Face's")

SPEC = """
name = "sums"
rounds = 2

[task]
{task}

[model]
use = "scratch-causal-lm"
layers = 1
hidden = 16
heads = 2
intermediate = 32
max_length = 256
pretrain_steps = 10

[adapter]
rank = 2
u = 4

[optimizer]
steps = 3
batch_size = 8

[backend]
use = "torch"
threads = 1
"""


SUMS = """use = "arithmetic"
train = 40
validation = 20
test = 20
source = 200
"""


def played(boostlora: Any, tmp_path: Path, task: str) -> list[Any]:
    """The records of the rounds of a run."""
    spec = tmp_path / "sums.toml"
    spec.write_text(SPEC.format(task=task))
    done = boostlora("run", str(spec))
    assert (done.returncode, done.stderr) == (0, "")
    lines = next((tmp_path / "runs" / "sums").glob("*/rounds.jsonl")).read_text().splitlines()
    rounds = [json.loads(line) for line in lines]
    assert [r["status"] for r in rounds] == ["base", "merged", "merged"]
    return rounds


def test_arithmetic_runs_and_records_its_measures(boostlora: Any, tmp_path: Path) -> None:
    rounds = played(boostlora, tmp_path, SUMS + "shots = 2\nsamples = 2\ntemperature = 1.0")
    for split in ("train", "validation", "test"):
        assert 0.0 < rounds[-1][split]["measures"]["probability"] < 1.0
        assert {"pass_1", "pass_2"} <= set(rounds[0][split]["measures"])


def test_forced_arithmetic_runs_without_generation(boostlora: Any, tmp_path: Path) -> None:
    rounds = played(boostlora, tmp_path, SUMS + 'correct = "forced"')
    assert set(rounds[0]["test"]["measures"]) == {"probability"}


def test_gsm8k_runs_and_records_its_measures(boostlora: Any, tmp_path: Path) -> None:
    (tmp_path / "problems.jsonl").write_text(lines(problems()))
    task = 'use = "gsm8k"\npath = "problems.jsonl"\nshots = 1\nmax_new_tokens = 8\nlimit = 20'
    rounds = played(boostlora, tmp_path, task)
    assert set(rounds[0]["test"]["measures"]) == {"strict", "flexible"}


def test_math500_runs_and_records_its_judge(boostlora: Any, tmp_path: Path) -> None:
    pytest.importorskip("math_verify", reason="the task needs math-verify")
    (tmp_path / "problems.jsonl").write_text(lines(competition()))
    task = 'use = "math500"\npath = "problems.jsonl"\nmax_new_tokens = 8\nlimit = 30'
    rounds = played(boostlora, tmp_path, task)
    assert set(rounds[0]["test"]["measures"]) == {"boxed", "unparsed", "timed_out"}
    origin = next((tmp_path / "runs" / "sums").glob("*/provenance.json")).read_text()
    assert '"math-verify"' in origin
