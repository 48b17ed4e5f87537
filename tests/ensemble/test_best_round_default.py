"""`export` and `evaluate` use the best round on validation by default, and name it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..support.boost_runs import PLUGIN, ToyRun, toy_run

Command = Callable[..., Any]
PLUG = ("--plugin", PLUGIN)
DEMANDING = ("stop.metric=loss", "stop.min_delta=5")
"""No round lowers the validation loss by 5 nats, as it would have to."""


@pytest.fixture(scope="module")
def improved(tmp_path_factory: pytest.TempPathFactory) -> ToyRun:
    return toy_run(tmp_path_factory.mktemp("improved"), "stop.metric=accuracy")


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> ToyRun:
    return toy_run(tmp_path_factory.mktemp("spoilt"), *DEMANDING)


def _reason(rounds: int) -> str:
    return f"the best on validation of {rounds} rounds; to take all: --rounds all"


@pytest.mark.parametrize("form", ["safetensors", "boost"])
def test_export_defaults_to_the_best_round_and_prints_the_reason(
    form: str, improved: ToyRun, boostlora: Command, tmp_path: Path
) -> None:
    ensemble = improved.ensemble()
    best = ensemble.best
    assert 0 < best < len(ensemble), "otherwise best and all are the same"
    place = tmp_path / "made.boost.safetensors"
    done = boostlora("export", improved.path, "--to", form, "--out", place, *PLUG)
    assert done.returncode == 0, done.stderr
    assert f"rounds 1..{best}: {_reason(len(ensemble))}" in done.stdout.splitlines()


@pytest.mark.parametrize(
    ("options", "last"), [(("--rounds", "all"), 4), (("--rounds", "2"), 2), (("--weight", "4=0.5"), 4)]
)
def test_export_of_named_rounds_ignores_the_best_round(
    options: tuple[str, ...], last: int, improved: ToyRun, boostlora: Command, tmp_path: Path
) -> None:
    asked = ("--to", "safetensors", "--out", tmp_path / "made", "--json", *options)
    done = boostlora("export", improved.path, *asked, *PLUG)
    assert done.returncode == 0, done.stderr
    rounds = json.loads(done.stdout)["rounds"]
    assert max(int(n) for n in rounds.partition(" (")[0].replace("..", " ").replace(",", " ").split()) == last


@pytest.mark.parametrize("form", ["safetensors", "boost"])
def test_export_of_a_run_whose_base_is_the_best_is_refused(
    form: str, spoilt: ToyRun, boostlora: Command, tmp_path: Path
) -> None:
    place = tmp_path / "made.boost.safetensors"
    done = boostlora("export", spoilt.path, "--to", form, "--out", place, *PLUG)
    assert done.returncode == 2
    assert done.stderr == (
        "error: no round beat the base on validation, so the base is the best model, and nothing was exported. "
        "--rounds all exports 4 rounds anyway, --rounds 0 the base itself\n"
    )
    assert not place.exists()
    done = boostlora("export", spoilt.path, "--to", form, "--out", place, "--rounds", "all", *PLUG)
    assert done.returncode == 0, done.stderr
    assert _reason(4) not in done.stdout


def test_evaluate_defaults_to_the_best_round_and_prints_the_reason(
    improved: ToyRun, boostlora: Command
) -> None:
    best, rounds = improved.ensemble().best, len(improved.ensemble())
    lines = boostlora("evaluate", improved.path, *PLUG).stdout.splitlines()
    assert lines[:2] == [f"rounds 1..{best}: read from the run", _reason(rounds)]
    lines = boostlora("evaluate", improved.path, "--rounds", "all", *PLUG).stdout.splitlines()
    assert lines[:2] == [f"rounds 1..{rounds}: read from the run", ""]


def test_evaluate_of_a_run_whose_base_is_the_best_evaluates_the_base(
    spoilt: ToyRun, boostlora: Command
) -> None:
    lines = boostlora("evaluate", spoilt.path, *PLUG).stdout.splitlines()
    assert lines[:2] == ["rounds 0 (the base): read from the run", _reason(4)]
