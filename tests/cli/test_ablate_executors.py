"""The same study through Ray and through a queue, workers killed on the way: the identical table."""

import json
import os
import signal
import time

import pytest

from ..support.commands import PATIENCE, boostlora
from .tiny_study import TINY, digests, start, table_of, wait_for_rounds, write

WHOLE = (
    TINY.replace("rounds = 3", "rounds = 6")
    .replace("rank = 2", "rank = 1\nu = 1")
    .replace("seeds = 2", "seeds = 1")
)


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """The study without an executor's processes."""
    folder = tmp_path_factory.mktemp("local")
    write(folder, WHOLE)
    done = boostlora("ablate", "tiny.toml", cwd=folder)
    assert done.returncode == 0, done.stderr
    return digests(folder / "runs"), table_of(done.stdout)


def _holder(runs, timeout=PATIENCE):
    """A process that is at work on a cell which has rounds already."""
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        for note in runs.glob("*/*/holder.json"):
            try:
                if (note.parent / "rounds.jsonl").is_file():
                    return json.loads(note.read_text())["pid"]
            except (OSError, ValueError):
                continue
        time.sleep(0.005)
    raise AssertionError("nobody works on a cell")


@pytest.mark.slow(reason="a Ray cluster, where every cell starts a process of its own")
def test_ray_study_with_a_killed_worker_gives_the_identical_table(tmp_path, local):
    pytest.importorskip("ray", reason="ray is not installed")
    write(tmp_path, WHOLE)
    process = start("ablate", "tiny.toml", "--executor", "ray", cwd=tmp_path)
    wait_for_rounds(tmp_path / "runs", 1, process)
    os.kill(_holder(tmp_path / "runs"), signal.SIGKILL)
    printed, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, error
    assert "lost its worker and will be resumed" in printed
    assert (digests(tmp_path / "runs"), table_of(printed)) == local


@pytest.mark.slow(reason="a Ray cluster, where every cell starts a process of its own")
def test_interrupted_ray_study_leaves_no_process_and_resumes(tmp_path, local):
    pytest.importorskip("ray", reason="ray is not installed")
    write(tmp_path, WHOLE)
    process = start("ablate", "tiny.toml", "--executor", "ray", cwd=tmp_path)
    wait_for_rounds(tmp_path / "runs", 3, process)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "every finished round is kept" in error
    again = start("ablate", "tiny.toml", cwd=tmp_path)
    assert table_of(again.communicate(timeout=PATIENCE)[0]) == local[1]


@pytest.mark.slow(reason="three jobs of submitit's own; a queue of stand-ins is in tests/executors")
def test_queued_study_is_submitted_monitored_and_collected(tmp_path, boostlora, local):
    pytest.importorskip("submitit", reason="submitit is not installed")
    write(tmp_path, WHOLE + '\n[ablate.executor]\nuse = "slurm"\ncluster = "local"\n')
    done = boostlora("ablate", "tiny.toml")
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 cells submitted" in done.stdout
    assert "boostlora collect tiny" in done.stdout
    again = boostlora("ablate", "tiny.toml")
    assert "submitted" in again.stdout
    told = json.loads(boostlora("status", "tiny", "--json").stdout)
    assert sum(told["counts"].values()) == 3
    collected = boostlora("collect", "tiny", "--wait")
    assert collected.returncode == 0, collected.stderr
    assert (digests(tmp_path / "runs"), table_of(collected.stdout)) == local


@pytest.mark.slow(reason="submitit's own job; cells that fail in a queue are in tests/executors")
def test_queued_cell_that_fails_is_collected_with_its_cause(tmp_path, boostlora):
    pytest.importorskip("submitit", reason="submitit is not installed")
    broken = '\n[optimizer]\nlr = 1e300\nsteps = 5\n\n[ablate.executor]\nuse = "slurm"\ncluster = "local"\n'
    text = TINY.replace("[optimizer]\nsteps = 5\n", "").replace("seeds = 2", "seeds = 1")
    write(tmp_path, text + broken)
    assert "3 cells submitted" in boostlora("ablate", "tiny.toml").stdout
    collected = boostlora("collect", "tiny", "--wait")
    assert collected.returncode == 3
    assert "3 of 3 cells failed" in collected.stdout
    assert "was refused" in boostlora("status", "tiny").stdout
