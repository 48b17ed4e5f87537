"""The summary at the end of `run` and in `show`: what a reader must know before the numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sklearn.datasets import load_diabetes

from boostlora.engine.cli.columns import RoundTable
from boostlora.engine.runs.directory import RunDirectory

from ..support.commands import Answer, boostlora

SETTINGS = ("name=wild", "rounds=1", "optimizer.lr=30", "stop.metric=loss")
WILD = ("quickstart", *(word for setting in SETTINGS for word in ("--set", setting)))
"""A learning rate far too high: the loss rises more than tenfold."""


@pytest.fixture(scope="module")
def wild(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answer]:
    """A run whose base is the best model, and what it printed."""
    folder = tmp_path_factory.mktemp("wild")
    return folder, boostlora("run", *WILD, cwd=folder)


def test_run_that_did_not_beat_its_base_says_so_first_and_succeeds(wild: tuple[Path, Answer]) -> None:
    _, done = wild
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    ended = next(i for i, line in enumerate(lines) if line.startswith("completed"))
    assert lines[ended + 1].startswith(
        "no round beat the base on validation (loss): the base is the better model. Try a lower optimizer.lr"
    )
    assert lines[ended + 2].startswith("test accuracy ")
    assert "best on validation: round 0" not in done.stdout


@pytest.mark.parametrize("command", ["show", "run"])
def test_later_looks_at_the_run_say_so_too(command: str, wild: tuple[Path, Answer]) -> None:
    folder, _ = wild
    asked = ("show", "wild") if command == "show" else ("run", *WILD)
    assert "no round beat the base on validation (loss)" in boostlora(*asked, cwd=folder).stdout


def test_round_whose_loss_diverged_is_marked_and_named_at_the_end(wild: tuple[Path, Answer]) -> None:
    folder, done = wild
    for text in (done.stdout, boostlora("show", "wild", cwd=folder).stdout):
        lines = [line.split() for line in text.splitlines()]
        start = next(i for i, words in enumerate(lines) if words[:2] == ["round", "failures"])
        assert [words[0] for words in lines[start + 1 : start + 3]] == ["0", "1!"]
        told = next(line for line in text.splitlines() if line.startswith("diverged since round 1: the "))
        assert told.endswith("; lower optimizer.lr")


REGRESSION = """
extends = "quickstart"
name = "diabetes"
rounds = 2
boosting.refit_every = 0
task.use = "table"
task.path = "diabetes.csv"
task.label = "target"
objective.use = "mse"
"""


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answer]:
    """A regression, and what it printed."""
    folder = tmp_path_factory.mktemp("regression")
    load_diabetes(as_frame=True).frame.to_csv(folder / "diabetes.csv", index=False)
    (folder / "diabetes.toml").write_text(REGRESSION)
    return folder, boostlora("run", "diabetes.toml", cwd=folder)


@pytest.mark.parametrize("command", ["run", "show"])
def test_rounds_of_a_regression_have_errors_instead_of_accuracies(
    command: str, regression: tuple[Path, Answer]
) -> None:
    folder, done = regression
    assert done.returncode == 0, done.stderr
    text = done.stdout if command == "run" else boostlora("show", "diabetes", cwd=folder).stdout
    (path,) = folder.glob("runs/*/*")
    first, last = (RunDirectory.open(path).records[i] for i in (0, -1))
    assert "%" not in text
    assert "valid RMSE test RMSE valid loss" in text
    change = " -> ".join(f"{record.test.measures['rmse']:.4g}" for record in (first, last))
    assert f"test RMSE {change}, loss " in text
    assert "accuracy" not in text


def test_lists_of_runs_have_the_error_of_a_regression_and_no_accuracy(
    regression: tuple[Path, Answer],
) -> None:
    folder, _ = regression
    lines = boostlora("runs", cwd=folder).stdout.splitlines()
    assert "valid RMSE  test RMSE" in lines[0]
    assert "%" not in lines[0]
    (row,) = json.loads(boostlora("runs", "--json", cwd=folder).stdout)
    assert f"{row['test_rmse']:.3f}" in lines[1]


def test_round_table_of_a_regression_fits_80_columns(regression: tuple[Path, Answer]) -> None:
    (path,) = regression[0].glob("runs/*/*")
    records = RunDirectory.open(path).records
    table = RoundTable(width=80, base=records[0])
    assert {len(table.header()), *(len(table.row(record)) for record in records)} <= set(range(60, 81))


def test_recalls_of_classes_are_no_lines_of_the_summary(wild: tuple[Path, Answer]) -> None:
    assert "balanced_accuracy" in wild[1].stdout
    assert "recall_" not in wild[1].stdout


def test_run_that_beat_its_base_does_not_say_so(tmp_path: Path) -> None:
    done = boostlora("run", "quickstart", "--set", "rounds=1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "no round beat" not in done.stdout
