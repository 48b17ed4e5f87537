"""The summary at the end of `run` and in `show`: what a reader must know before the numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

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


def test_run_that_beat_its_base_does_not_say_so(tmp_path: Path) -> None:
    done = boostlora("run", "quickstart", "--set", "rounds=1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "no round beat" not in done.stdout
