"""A study that is killed, stopped or run twice at once loses nothing, and ends with the identical table."""

import os
import signal
import time

import pytest

from ..support.commands import PATIENCE, boostlora
from .tiny_study import TINY, digests, processes_of, rounds_on_disk, start, table_of, wait_for_rounds, write

WHOLE = TINY.replace("rounds = 3", "rounds = 6").replace("rank = 2", "rank = 1\nu = 1")
SLOW = WHOLE.replace("steps = 5", "steps = 50000")
"""Cells that go on for longer than anybody waits."""
LINES = 6 * 7


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    write(folder, WHOLE)
    done = boostlora("ablate", "tiny.toml", cwd=folder).stdout
    return digests(folder / "runs"), table_of(done)


@pytest.mark.slow(reason="twelve processes")
def test_repeatedly_killed_study_gives_the_identical_table(tmp_path, undisturbed):
    write(tmp_path, WHOLE)
    runs = tmp_path / "runs"
    for count in (1, 12, 30):
        process = start("ablate", "tiny.toml", cwd=tmp_path)
        wait_for_rounds(runs, count, process)
        process.kill()
        process.communicate()
    finished = {path.parent for path in runs.glob("*/*/result.json")}
    stamps = {path: (path / "rounds.jsonl").stat().st_mtime_ns for path in finished}
    process = start("ablate", "tiny.toml", cwd=tmp_path)
    printed = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == 0
    assert (digests(runs), table_of(printed)) == undisturbed
    assert finished, "nothing had been finished before the last kill"
    assert {path: (path / "rounds.jsonl").stat().st_mtime_ns for path in finished} == stamps


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow(reason="the same by another signal")),
    ],
)
def test_interrupted_study_prints_how_to_resume_and_leaves_no_process(
    tmp_path, number, undisturbed, boostlora
):
    write(tmp_path, WHOLE)
    process = start("ablate", "tiny.toml", cwd=tmp_path)
    wait_for_rounds(tmp_path / "runs", 5, process)
    process.send_signal(number)
    _, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert error.endswith("every finished round is kept. Resume with: boostlora ablate tiny.toml\n")
    assert processes_of(tmp_path) == []
    assert table_of(boostlora("ablate", "tiny.toml").stdout) == undisturbed[1]


def test_workers_end_when_the_parent_process_is_killed(tmp_path):
    write(tmp_path, SLOW)
    process = start("ablate", "tiny.toml", cwd=tmp_path)
    wait_for_rounds(tmp_path / "runs", 1, process)
    process.kill()
    process.communicate()
    until = time.monotonic() + PATIENCE
    while processes_of(tmp_path):
        assert time.monotonic() < until, "workers outlive their master"
        time.sleep(0.05)


@pytest.mark.slow(reason="a study with its workers, one of which is started again")
def test_killed_worker_loses_only_the_current_round(tmp_path, undisturbed):
    write(tmp_path, WHOLE)
    process = start("ablate", "tiny.toml", cwd=tmp_path)
    wait_for_rounds(tmp_path / "runs", 4, process)
    worker = next(pid for pid in processes_of(tmp_path) if pid != process.pid)
    os.kill(worker, signal.SIGKILL)
    printed = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == 0
    assert "lost its worker and will be resumed: its worker was killed by signal 9" in printed
    assert table_of(printed) == undisturbed[1]


def test_second_process_on_a_study_is_refused_and_names_the_first(tmp_path, boostlora):
    write(tmp_path, SLOW)
    process = start("ablate", "tiny.toml", cwd=tmp_path)
    try:
        wait_for_rounds(tmp_path / "runs", 1, process)
        done = boostlora("ablate", "tiny.toml")
        assert done.returncode == 3
        assert f"in use by process {process.pid} on" in done.stderr
        assert "running" in boostlora("status", "tiny").stdout
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)


@pytest.mark.slow(reason="two studies, each with its workers")
def test_cells_shared_by_two_studies_run_once(tmp_path):
    write(tmp_path, WHOLE)
    write(tmp_path, WHOLE.replace('name = "tiny"', 'name = "twin"'), "twin.toml")
    first = start("ablate", "tiny.toml", cwd=tmp_path)
    wait_for_rounds(tmp_path / "runs", 2, first)
    second = start("ablate", "twin.toml", cwd=tmp_path)
    outputs = [table_of(p.communicate(timeout=PATIENCE)[0]) for p in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0]
    assert outputs[0] == outputs[1].replace("twin", "tiny")
    assert (
        rounds_on_disk(tmp_path / "runs") <= LINES + 2 * 7
    )  # at most one cell a worker was begun in both places
