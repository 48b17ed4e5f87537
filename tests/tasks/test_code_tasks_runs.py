"""`humaneval` and `mbpp` through the command line, with a model made from nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .code_cases import heads, lines, linux, sentences

pytest.importorskip("transformers", reason="the model is Hugging Face's")
pytestmark = [linux, pytest.mark.slow(reason="whole runs of a language model whose answers are programs")]

SPEC = """
name = "code"
rounds = 2

[task]
{task}

[model]
use = "scratch-causal-lm"
layers = 1
hidden = 16
heads = 2
intermediate = 32
max_length = 1024
pretrain_steps = 5

[adapter]
rank = 2
u = 4

[optimizer]
steps = 2
batch_size = 4

[backend]
use = "torch"
threads = 1
"""
TASKS = {
    "humaneval": 'use = "humaneval"\npath = "rows.jsonl"\nmax_new_tokens = 8\nsamples = 2\ntemperature = 1.0',
    "mbpp": 'use = "mbpp"\npath = "rows.jsonl"\nmax_new_tokens = 8\nshots = 1',
}
ROWS = {"humaneval": heads(), "mbpp": sentences([*range(1, 16), *range(511, 518), *range(601, 611)])}


@pytest.mark.parametrize("name", TASKS)
def test_code_task_runs_and_records_its_sandbox(boostlora: Any, tmp_path: Path, name: str) -> None:
    (tmp_path / "rows.jsonl").write_text(lines(ROWS[name]))
    (tmp_path / "code.toml").write_text(SPEC.format(task=TASKS[name]))
    done = boostlora("run", str(tmp_path / "code.toml"))
    assert (done.returncode, done.stderr) == (0, "")
    folder = next((tmp_path / "runs" / "code").iterdir())
    origin = json.loads((folder / "provenance.json").read_text())["task"]["sandbox"]
    assert origin["confined"] is origin["seccomp"] is True
    rounds = [json.loads(line) for line in (folder / "rounds.jsonl").read_text().splitlines()]
    measures = rounds[-1]["test"]["measures"]
    assert {"timed_out", "crashed", "errors", "unsupported"} <= set(measures)
    assert ("pass_2" in measures) == (name == "humaneval")
    # Eight tokens of a model that learned nothing are no program.
    assert measures["errors"] > 0.0


def test_code_task_without_a_sandbox_or_permission_is_refused_before_any_work(
    boostlora: Any, tmp_path: Path
) -> None:
    (tmp_path / "rows.jsonl").write_text(lines(ROWS["humaneval"]))
    (tmp_path / "code.toml").write_text(SPEC.format(task=TASKS["humaneval"] + "\nunconfined = true"))
    done = boostlora("run", str(tmp_path / "code.toml"))
    assert done.returncode == 2
    assert "also set BOOSTLORA_ALLOW_UNCONFINED=1 in the environment" in done.stderr
    assert not (tmp_path / "runs").exists()
