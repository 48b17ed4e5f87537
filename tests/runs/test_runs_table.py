"""All runs in one table: on the terminal, as CSV and JSON, in Python."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from boostlora.engine import runs_table
from boostlora.engine.analysis import runs_table as module
from boostlora.engine.analysis.quantities import parameters, stored
from boostlora.engine.cli import layout
from boostlora.engine.cli import runs as command
from boostlora.engine.errors import UsageError
from boostlora.engine.foundation.sealed import read_sealed, write_sealed
from boostlora.engine.runs.directory import RunDirectory

from ..cli.tiny_study import write
from ..support.earlier_run import make_earlier
from ..support.record_toys import ROUNDS, clone


@pytest.fixture
def runs(toy, tmp_path):
    """A finished run of one name and an unfinished one of another, begun an hour earlier."""
    folder = tmp_path / "runs"
    for source, name, created in (
        ("whole", "first", "2026-03-01T10:00:00+00:00"),
        ("half", "second", "2026-03-01T09:00:00+00:00"),
    ):
        run = clone(toy.path(source), folder / name / toy.spec.short_hash)
        provenance = read_sealed(run / "provenance.json", ("created",))
        write_sealed(run / "provenance.json", provenance | {"created": created})
    return folder


def run_of(runs, name):
    return next((runs / name).iterdir())


def test_table_matches_the_records(runs, toy):
    rows = runs_table(runs)
    assert [list(row) for row in rows] == [list(module.COLUMNS)] * 2
    for row, name, status in zip(rows, ("first", "second"), ("completed", "unfinished"), strict=True):
        directory = RunDirectory.open(run_of(runs, name))
        last = directory.records[-1]
        assert (row["name"], row["hash"], row["status"]) == (name, toy.spec.short_hash, status)
        assert (row["rounds"], row["planned_rounds"], row["seed"]) == (last.round, ROUNDS, 0)
        assert (row["test_accuracy"], row["test_loss"]) == (last.test.accuracy, last.test.loss)
        assert row["validation_accuracy"] == last.validation.accuracy
        assert row["validation_loss"] == last.validation.loss
        assert (row["parameters"], row["stored"]) == (
            parameters(directory.records),
            stored(directory.records),
        )
        assert row["rank"] == max(last.rank.values())
        assert row["seconds"] == sum(sum(r.seconds.values()) for r in directory.records)
        assert (row["study"], row["arm"], row["cell"]) == (None, None, None)
        assert row["path"] == str(directory.path)
    assert rows[0]["best_round"] == RunDirectory.open(run_of(runs, "first")).result()["best_round"]


def test_table_can_be_a_pandas_frame_without_importing_pandas(runs):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(runs_table(runs))
    assert list(frame["rounds"]) == [4, 2]
    code = "import sys; from boostlora.engine import runs_table; runs_table(sys.argv[1]); print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, str(runs)], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ("second", ["second"]),
        ("*s*", ["first", "second"]),
        (("fir*", "nothing"), ["first"]),
        ("[f]irst", ["first"]),
    ],
)
def test_table_of_names(names, found, runs):
    assert [row["name"] for row in runs_table(runs, names)] == found


def test_table_of_no_name_or_folder_is_refused(runs, tmp_path, boostlora):
    with pytest.raises(UsageError, match=r'no run "third"; in .*runs there are: first, second'):
        runs_table(runs, "third")
    with pytest.raises(
        UsageError, match=r'no run "frist"; did you mean "first"\? In .*runs there are: first, second'
    ):
        runs_table(runs, "frist")
    with pytest.raises(UsageError, match="no such folder of runs"):
        runs_table(tmp_path / "none")
    answer = boostlora("runs", "--runs", "none")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.startswith("error: none: no such folder of runs; start a run with: ")
    assert boostlora("runs", "--json", "--csv").returncode == 2


def test_table_without_runs_says_how_to_start_one(tmp_path, boostlora):
    (tmp_path / "runs").mkdir()
    assert boostlora("runs").stdout == "no runs in runs yet; start one with: boostlora run quickstart\n"
    assert json.loads(boostlora("runs", "--json").stdout) == []
    assert boostlora("runs", "--csv").stdout == ",".join(module.COLUMNS) + "\n"


def test_table_does_not_list_runs_that_were_set_aside(runs, toy):
    run = run_of(runs, "first")
    clone(run, run.with_name(f"{run.name}.old-20260101T000000"))
    assert len(runs_table(runs)) == 2


def test_table_omits_unreadable_runs_with_one_warning(runs, toy, boostlora):
    whole = run_of(runs, "first")
    altered, other, earlier, foreign = (
        clone(whole, runs / name / toy.spec.short_hash) for name in ("altered", "other", "earlier", "foreign")
    )
    rounds = altered / "rounds.jsonl"
    rounds.write_text(rounds.read_text().replace('"failures": ', '"failures": 1', 1))
    (other / "spec.toml").write_bytes(b"\xff\xfe")
    make_earlier(earlier)
    shutil.rmtree(foreign)
    foreign.mkdir()
    (runs / "notes.txt").write_text("no folder")
    (runs / "plots" / "figures").mkdir(parents=True)
    (runs / "theirs" / "project").mkdir(parents=True)
    (runs / "theirs" / "project" / "spec.toml").write_text("title = 'another program'\n")
    answer = boostlora("runs", "--csv")
    assert answer.returncode == 0
    assert [row["name"] for row in csv.DictReader(io.StringIO(answer.stdout))] == ["first", "second"]
    (line,) = answer.stderr.splitlines()
    assert line.startswith("warning: left out 5: ")
    for part in ("2 damaged (", "1 in an earlier format (", "2 not a run (", "rounds.jsonl:1: altered"):
        assert part in line
    with pytest.warns(UserWarning, match="left out 5: "):
        assert len(runs_table(runs)) == 2


def test_table_with_a_damaged_study_lists_its_runs(runs, boostlora):
    (runs / "broken" / "study").mkdir(parents=True)
    (runs / "broken" / "study" / "study.json").write_text("{}")
    answer = boostlora("runs")
    assert (answer.returncode, len(answer.stdout.splitlines())) == (0, 3)
    assert answer.stderr.startswith("warning: left out 1: 1 damaged study (")


def test_csv_has_no_formulas_and_exact_numbers(runs, boostlora):
    run = run_of(runs, "first")
    run.parent.rename(runs / "=cmd()")
    rows = {
        row["hash"] + row["name"]: row
        for row in csv.DictReader(io.StringIO(boostlora("runs", "--csv").stdout))
    }
    row = rows[f"{run.name}'=cmd()"]
    (value,) = runs_table(runs, "=*")
    assert float(row["test_loss"]) == value["test_loss"]
    assert (row["study"], row["cell"]) == ("", "")


def test_json_has_null_for_nonfinite_numbers():
    assert command._finite({"a": float("nan"), "b": float("inf"), "c": 1.5}) == {
        "a": None,
        "b": None,
        "c": 1.5,
    }


def test_table_on_the_terminal_has_one_line_a_run(runs, boostlora):
    title, first, second = boostlora("runs").stdout.splitlines()
    assert title.split("  ")[0] == "run"
    assert "study" not in title
    assert first.startswith(f"first/{run_of(runs, 'first').name} ")
    assert [first.split()[i] for i in (1, 2)] == ["completed", "4/4"]
    assert "2026-03-01 10:00" in first
    assert second.startswith(f"second/{run_of(runs, 'second').name} ")
    assert [second.split()[i] for i in (1, 2)] == ["unfinished", "2/4"]


@pytest.mark.parametrize("width", [80, 120, 200])
def test_table_fits_the_terminal(width, runs, monkeypatch, capsys):
    monkeypatch.setattr(layout, "line_width", lambda: width)
    command._print(runs_table(runs))
    printed = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
    assert max(map(len, printed.splitlines())) <= width
    assert ("omitted, for a wider terminal or --csv: valid loss" in printed) == (width < 200)


def test_table_shows_the_studies_of_runs(tmp_path, boostlora):
    write(tmp_path)
    assert boostlora("ablate", "tiny.toml", "--exclude", "seed=1", "--set", "rounds=1", "-q").returncode == 0
    rows = json.loads(boostlora("runs", "--json").stdout)
    assert {(row["study"], row["arm"], row["cell"]) for row in rows} == {
        ("tiny", arm, f"{arm} · seed 0") for arm in ("fixed", "random", "rotate")
    }
    assert "study" in boostlora("runs").stdout.splitlines()[0]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads every folder")
def test_folder_that_cannot_be_read_is_left_out(runs):
    (runs / "first").chmod(0)
    with pytest.warns(UserWarning, match="1 unreadable"):
        assert [row["name"] for row in runs_table(runs)] == ["second"]
    (runs / "first").chmod(0o700)
