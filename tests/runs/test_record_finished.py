"""Runs that have ended, well or not."""

import json

import pytest

from boostlora.engine.runs.directory import RunDirectory

from ..support.record_toys import ROUNDS, check_valid, sealed

HUGE = ("--set", "optimizer.lr=1e300", "--set", "model.activation=relu")


def files(path):
    return {
        p.relative_to(path): (p.read_bytes(), p.stat().st_mtime_ns) for p in path.rglob("*") if p.is_file()
    }


@pytest.mark.parametrize("verb", ["run", "resume"])
def test_finished_run_again_does_nothing(verb, desk, toy):
    desk.place(toy.path("whole"))
    before = files(desk.path)
    answer = getattr(desk, verb)()
    assert (answer.returncode, answer.stderr) == (0, "")
    rounds = f"{ROUNDS} of {ROUNDS} rounds cached"
    assert answer.stdout.startswith(f"{desk.path}: already completed ({rounds}); nothing to do\n")
    assert files(desk.path) == before


def test_finished_run_again_is_cached_in_json(desk, toy):
    desk.place(toy.path("whole"))
    event = json.loads(desk.run("--json").stdout)
    assert (event["event"], event["cached"]) == ("run_finished", True)
    assert event["digest"] == sealed(desk.path)[-1]["digest"]


def test_run_without_result_repeats_no_round(desk, toy):
    desk.place(toy.path("whole"))
    (desk.path / "result.json").unlink()
    before = (desk.path / "rounds.jsonl").stat().st_mtime_ns
    assert desk.run("--quiet").returncode == 0
    assert (desk.path / "rounds.jsonl").stat().st_mtime_ns == before
    assert check_valid(desk.path, sealed(toy.path("whole"))) == ROUNDS + 1


def test_fresh_run_sets_the_old_one_aside(desk, toy):
    desk.place(toy.path("whole"))
    before = files(desk.path)
    assert desk.run("--fresh", "--quiet").returncode == 0
    (old,) = (p for p in desk.path.parent.iterdir() if p != desk.path)
    assert old.name.startswith(f"{desk.path.name}.old-")
    assert {k: v for k, v in files(old).items() if k.name != "run.lock"} == {
        k: v for k, v in before.items() if k.name != "run.lock"
    }
    assert sealed(desk.path) == sealed(old)
    assert (desk.path / "rounds.jsonl").stat().st_mtime_ns > (old / "rounds.jsonl").stat().st_mtime_ns


def test_fresh_run_of_nothing_just_runs(desk, toy):
    assert desk.run("--fresh", "--quiet").returncode == 0
    assert [p.name for p in desk.path.parent.iterdir()] == [desk.path.name]
    assert sealed(desk.path) == sealed(toy.path("whole"))


def test_run_with_nan_fails_with_a_valid_record(desk):
    answer = desk.run("--quiet", *HUGE)
    assert answer.returncode == 3
    assert "error: round 1 was refused: " in answer.stderr
    assert "Traceback" not in answer.stderr
    (path,) = desk.path.parent.iterdir()
    directory = RunDirectory.open(path)
    directory.check_files()
    assert [record.status for record in directory.records] == ["base"]
    assert (directory.result() or {})["status"] == "failed"
    again = desk.run("--quiet", *HUGE)  # it may be tried again
    assert (again.returncode, again.stderr) == (3, answer.stderr)
    assert RunDirectory.open(path).digest == directory.digest


def test_run_that_skips_nan_completes(desk):
    answer = desk.run("--quiet", *HUGE, "--set", "stop.on_nonfinite=skip")
    assert answer.returncode == 0
    (path,) = desk.path.parent.iterdir()
    directory = RunDirectory.open(path)
    directory.check_files()
    assert [record.status for record in directory.records] == ["base", *["nonfinite"] * ROUNDS]
    assert all(record.reason for record in directory.records[1:])
    assert all(record.train == directory.records[0].train for record in directory.records)
    assert (directory.result() or {})["status"] == "completed"
