"""Rivals: what trivial models reach on the splits of a run, kept with it and shown beside its result."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from boostlora.engine.api import load_spec
from boostlora.engine.boosting import rivals
from boostlora.engine.boosting.experiment import prepare
from boostlora.engine.boosting.loop import boost
from boostlora.engine.cli.rivals import rival_lines
from boostlora.engine.contracts import Examples, Splits, Values
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.registry import Registry
from boostlora.engine.runs.directory import RunDirectory

Command = Callable[..., Any]


def classes_splits(n: int = 60) -> Splits:
    """Two classes, two thirds of them class 1, that a line separates."""
    rng = np.random.default_rng(0)

    def part(start: int) -> Examples:
        labels = (np.arange(n) % 3 > 0).astype(np.int64)
        inputs = rng.normal(size=(n, 3)) + 6.0 * labels[:, None]
        return Examples(ids=np.arange(start, start + n), inputs=inputs, labels=labels)

    return Splits.of({"train": part(0), "validation": part(n), "test": part(2 * n)}, classes=("a", "b"))


def values_splits(n: int = 40) -> Splits:
    """Targets `3 + 2 x`, exactly linear."""
    rng = np.random.default_rng(1)

    def part(start: int) -> Examples:
        x = rng.normal(size=(n, 1))
        values = Values(standardised=x[:, 0], mean=3.0, std=2.0)
        return Examples(
            ids=np.arange(start, start + n), inputs=x, labels=np.zeros(n, dtype=np.int64), values=values
        )

    return Splits.of({"train": part(0), "validation": part(n), "test": part(2 * n)})


def experiment(splits: Splits, *, fitted: tuple[str, ...] = (), data: str = "data") -> Any:
    return SimpleNamespace(splits=splits, source=SimpleNamespace(fitted=fitted), hashes={"data": data})


def test_rivals_of_classes(tmp_path: Path) -> None:
    found = rivals.rivals_of(experiment(classes_splits()), RunContext(cache=tmp_path))
    assert found is not None
    constant, linear = found["models"]["majority class"], found["models"]["logistic regression"]
    for split in ("validation", "test"):
        assert constant[split] == {"accuracy": pytest.approx(2 / 3), "balanced_accuracy": 0.5}
        assert linear[split] == {"accuracy": 1.0, "balanced_accuracy": 1.0}
    assert (found["base"], found["notes"]) == ("base", [])


def test_rivals_of_values_are_in_the_units_of_the_target(tmp_path: Path) -> None:
    splits = values_splits()
    found = rivals.rivals_of(experiment(splits), RunContext(cache=tmp_path))
    assert found is not None
    train, test = (splits.train.values, splits.test.values)
    assert train is not None
    assert test is not None
    spread = np.sqrt(np.mean((test.original - train.original.mean()) ** 2))
    assert found["models"]["mean"]["test"]["rmse"] == pytest.approx(spread)
    assert found["models"]["ridge regression"]["test"]["rmse"] < spread / 10


def test_rivals_are_fitted_once_for_the_same_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = rivals.rivals_of(experiment(classes_splits()), RunContext(cache=tmp_path))
    own, asked = rivals._predict_linear, list[int]()
    monkeypatch.setattr(rivals, "_predict_linear", lambda splits: asked.append(1) or own(splits))
    assert rivals.rivals_of(experiment(classes_splits()), RunContext(cache=tmp_path)) == first
    assert asked == []
    rivals.rivals_of(experiment(classes_splits(), data="other"), RunContext(cache=tmp_path))
    assert asked == [1]


def test_linear_rival_is_bounded_and_a_note_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rivals, "MOST_ROWS", 30)
    found = rivals.rivals_of(experiment(classes_splits()), RunContext(cache=tmp_path))
    assert found is not None
    assert found["notes"] == ["the linear model is fitted on 30 of 60 training rows"]
    assert found["models"]["logistic regression"]["test"]["accuracy"] == 1.0
    monkeypatch.setattr(rivals, "MOST_WORK", 30 * 3 * 2 - 1)
    found = rivals.rivals_of(experiment(classes_splits()), RunContext(cache=tmp_path))
    assert found is not None
    assert found["notes"] == ["no linear model: the inputs are too many for a quick fit"]
    assert list(found["models"]) == ["majority class"]


@pytest.mark.parametrize(
    ("source", "name"), [(False, "base (linear probe)"), (True, "base (probe on source)")]
)
def test_base_with_a_fitted_head_is_named_as_the_probe_it_is(source: bool, name: str, tmp_path: Path) -> None:
    splits = classes_splits()
    if source:
        splits = Splits.of(
            {part: getattr(splits, part) for part in ("train", "validation", "test")},
            source=splits.train,
            classes=splits.classes,
        )
    found = rivals.rivals_of(experiment(splits, fitted=("head.weight",)), RunContext(cache=tmp_path))
    assert found is not None
    assert found["base"] == name


def test_task_without_classes_and_values_has_no_rivals(tmp_path: Path) -> None:
    splits = classes_splits()
    plain = Splits.of({part: getattr(splits, part) for part in ("train", "validation", "test")})
    assert rivals.rivals_of(experiment(plain), RunContext(cache=tmp_path)) is None
    assert rival_lines(None, [], 0) == []


def test_run_records_rivals_and_shows_them_and_no_digest_changes(boostlora: Command, tmp_path: Path) -> None:
    done = boostlora("run", "quickstart", "--set", "rounds=1")
    assert done.returncode == 0, done.stderr
    shown = json.loads(boostlora("show", "quickstart", "--json").stdout)
    kept = shown["rivals"]
    assert kept == shown["provenance"]["rivals"]
    accuracy = kept["models"]["logistic regression"]["validation"]["accuracy"]
    assert accuracy > 0.9
    for text in (done.stdout, boostlora("show", "quickstart").stdout):
        lines = text.splitlines()
        start = next(i for i, line in enumerate(lines) if line.startswith("on the same splits"))
        names = [line.split("  ")[0] for line in lines[start + 1 : start + 5]]
        assert names == ["majority class", "logistic regression", "base", "round 1 (best)"]
        assert max(map(len, lines[start : start + 5])) <= 80
        assert f"{100 * accuracy:.1f}" in lines[start + 2]
        assert (
            "logistic regression is at least as good on validation: the simpler model may do"
            in lines[start + 5]
        )
    spec = load_spec("quickstart", {"rounds": 1})
    without = RunDirectory.create(tmp_path / "without", spec)
    boost(prepare(spec), without, Registry.load(), RunContext())
    assert without.digest == shown["result"]["digest"]
    assert "rivals" not in (without.provenance() or {})


def test_altered_rivals_are_refused(boostlora: Command, tmp_path: Path) -> None:
    assert boostlora("run", "quickstart", "--set", "rounds=1").returncode == 0
    (file,) = tmp_path.glob("runs/*/*/provenance.json")
    content = json.loads(file.read_text())
    content["rivals"]["models"]["majority class"]["test"]["accuracy"] = 0.0
    file.write_text(json.dumps(content))
    done = boostlora("show", "quickstart")
    assert done.returncode == 3
    assert "its seal does not match its content" in done.stderr


def test_model_card_has_the_rivals(boostlora: Command, tmp_path: Path) -> None:
    assert boostlora("run", "quickstart", "--set", "rounds=1").returncode == 0
    done = boostlora("export", "quickstart", "--to", "safetensors", "--out", "made")
    assert done.returncode == 0, done.stderr
    card = (tmp_path / "made" / "README.md").read_text()
    kept = json.loads(boostlora("show", "quickstart", "--json").stdout)["rivals"]["models"]
    test, validation = (
        f"{100 * kept['majority class'][split]['accuracy']:.1f}" for split in ("test", "validation")
    )
    assert f"| majority class | {test} | {validation} |" in card
