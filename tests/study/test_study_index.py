"""The index: made from the files, brought up to date, thrown away, asked in SQL."""

import json
import shutil
import sqlite3

import pytest

from boostlora.engine.errors import UsageError
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.study.index import FILE, Index

STUDY = """
extends = "paper/digits"
name = "few"
rounds = 1
model = { hidden = [16, 12], epochs = 5 }
adapter = { rank = 2 }
optimizer.steps = 5
[ablate]
grid."basis.use" = ["rotate", "fixed"]
seeds = 2
"""
TINY = ("rounds=2", "model.hidden=[16, 12]", "model.epochs=5", "adapter.rank=2", "optimizer.steps=5")


@pytest.fixture(scope="module")
def made(tmp_path_factory, shared_cache):
    """Two runs of different bases."""
    from boostlora.engine.boosting.experiment import prepare
    from boostlora.engine.boosting.loop import boost
    from boostlora.engine.foundation.run_context import RunContext
    from boostlora.engine.registry import Registry
    from boostlora.engine.spec.resolve import load_spec

    runs, registry = tmp_path_factory.mktemp("index") / "runs", Registry.load()
    for basis in ("rotate", "fixed"):
        spec = load_spec("paper/digits", registry, [*TINY, f"basis.use={basis}"])
        directory = RunDirectory.create(runs / "some" / spec.short_hash, spec)
        boost(prepare(spec), directory, registry, RunContext(cache=shared_cache))
    return runs


@pytest.fixture
def runs(made, tmp_path):
    return shutil.copytree(made, tmp_path / "runs")


def test_index_has_what_the_records_say(runs):
    index = Index(runs)
    assert index.refresh().read == 2
    columns, runs_rows = index.query("SELECT hash, status, rounds, test_accuracy, rank, digest FROM runs")
    _, round_rows = index.query("SELECT path, round, validation_loss FROM rounds")
    _, steps = index.query("SELECT path, value FROM options WHERE key = 'optimizer.steps'")
    assert columns == ["hash", "status", "rounds", "test_accuracy", "rank", "digest"]
    for folder in runs.glob("some/*"):
        directory = RunDirectory.open(folder)
        last, path = directory.records[-1], f"some/{folder.name}"
        said = ("completed", 2, last.test.accuracy, max(last.rank.values()), directory.digest)
        assert (folder.name, *said) in runs_rows
        losses = {(path, r.round, r.validation.loss) for r in directory.records}
        assert losses == {row for row in round_rows if row[0] == path}
        assert (path, "5") in steps


def test_index_reads_only_what_changed_and_forgets_what_is_gone(runs):
    index = Index(runs)
    index.refresh()
    assert index.refresh().read == 0
    first, second = sorted(runs.glob("some/*"))
    (first / "result.json").unlink()
    shutil.rmtree(second)
    found = index.refresh()
    assert (found.runs, found.read, found.removed) == (1, 1, 1)
    assert index.query("SELECT status FROM runs")[1] == [("unfinished",)]
    assert index.query("SELECT COUNT(DISTINCT path) FROM rounds")[1] == [(1,)]


@pytest.mark.parametrize("damage", ["text", "old version", "missing"])
def test_index_that_is_no_good_is_made_anew(runs, damage):
    index = Index(runs)
    index.refresh()
    wanted = index.query("SELECT * FROM rounds ORDER BY path, round")
    if damage == "text":
        (runs / FILE).write_text("this is not a database, however long it may be" * 50)
    elif damage == "missing":
        (runs / FILE).unlink()
    else:
        with sqlite3.connect(runs / FILE) as database:
            database.execute("DROP TABLE rounds")
            database.execute("PRAGMA user_version = 99")
        database.close()
    assert index.refresh().read == 2
    assert index.query("SELECT * FROM rounds ORDER BY path, round") == wanted


def test_index_leaves_damaged_runs_out_and_says_so(runs):
    damaged = min(runs.glob("some/*"))
    rounds = damaged / "rounds.jsonl"
    rounds.write_text(rounds.read_text().replace('"failures": ', '"failures": 1'))
    found = Index(runs).refresh()
    assert found.runs == 1
    assert f"some/{damaged.name}" in found.unreadable[0]
    assert "altered" in found.unreadable[0]


def test_index_questions_cannot_change_it_and_wrong_ones_are_explained(runs):
    index = Index(runs)
    index.refresh()
    with pytest.raises(UsageError, match="readonly"):
        index.query("DELETE FROM runs")
    with pytest.raises(UsageError, match="no such table: run"):
        index.query("SELECT * FROM run")


def test_index_command_answers(runs, boostlora):
    assert "2 runs, 2 read now, 0 removed" in boostlora("index").stdout
    calibration = (
        "SELECT value, rounds FROM runs JOIN options USING (path) WHERE key = 'basis.use' ORDER BY value"
    )
    told = boostlora("index", calibration, "--json")
    assert json.loads(told.stdout) == [
        {"value": '"fixed"', "rounds": 2},
        {"value": '"rotate"', "rounds": 2},
    ]
    assert boostlora("index", calibration).stdout.splitlines()[1].split() == ['"fixed"', "2"]
    wrong = boostlora("index", "SELECT")
    assert (wrong.returncode, wrong.stderr.startswith("error: ")) == (2, True)
    nowhere = boostlora("index", "--runs", "nowhere")
    assert (nowhere.returncode, "no such folder" in nowhere.stderr) == (2, True)


def test_index_knows_the_cells_of_studies(tmp_path, boostlora):
    (tmp_path / "few.toml").write_text(STUDY)
    assert boostlora("ablate", "few.toml", "--exclude", "seed=1").returncode == 0
    places = "SELECT arm, cells.seed, excluded, status FROM cells LEFT JOIN runs USING (path)"
    told = json.loads(boostlora("index", f"{places} ORDER BY arm, cells.seed", "--json").stdout)
    assert [list(row.values()) for row in told] == [
        ["fixed", 0, 0, "completed"],
        ["fixed", 1, 1, None],
        ["rotate", 0, 0, "completed"],
        ["rotate", 1, 1, None],
    ]
