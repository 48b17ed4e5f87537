"""Runs of which there is no ensemble: their data or weights changed, nothing is recorded yet, or they are no runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from boostlora.engine.ensemble.ensemble import Ensemble
from boostlora.engine.ensemble.staged_evaluation import stages
from boostlora.engine.errors import UsageError
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.runs.directory import RunDirectory

from ..support.boost_runs import PLUGIN, ToyRun


@pytest.fixture
def causal_path(tmp_path: Path, shared_cache: Path) -> Path:
    """A run of a tiny Llama of this test's own, since its data are changed."""
    pytest.importorskip("transformers", reason="needs transformers")
    from .card_runs import causal_run_of

    return causal_run_of(tmp_path, shared_cache)


@pytest.mark.parametrize(("name", "what"), [("TOY_DATA", "data"), ("TOY_WEIGHTS", "weights")])
def test_run_whose_data_or_weights_changed_is_refused(
    name: str, what: str, toy: ToyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "1")
    ensemble = toy.ensemble()
    assert ensemble.staged("test")  # what is on disk is on disk
    for ask in (lambda: ensemble.predict(np.zeros((1, 9))), ensemble.exportable, lambda: ensemble.outcome("test", "2..3")):  # fmt: skip
        with pytest.raises(UsageError) as caught:
            ask()
        assert str(caught.value) == (
            f"{toy.path}: the {what} have changed since the run started; restore them"
        )


def test_run_of_another_text_dataset_is_refused(causal_path: Path, shared_cache: Path) -> None:
    data = causal_path.parent / "words.jsonl"
    kept = data.read_text()
    data.write_text(kept.replace("1 +", "2 +", 1))
    try:
        ensemble = Ensemble.open(causal_path, context=RunContext(cache=shared_cache))
        with pytest.raises(UsageError):
            ensemble.logits([("1 +", " 2")])
    finally:
        data.write_text(kept)


@pytest.mark.parametrize("kind", ["missing", "file", "empty"])
def test_folder_without_a_run_is_refused(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "run"
    if kind == "file":
        place.write_text("no run")
    elif kind == "empty":
        place.mkdir()
    with pytest.raises(UsageError):
        Ensemble.open(place, runs=tmp_path / "runs")


def test_run_without_a_record_has_its_own_message(toy: ToyRun, tmp_path: Path) -> None:
    place = tmp_path / "run"
    RunDirectory.create(place, toy.ensemble().spec)
    ensemble = Ensemble.open(place, plugins=(PLUGIN,), context=RunContext(cache=toy.cache))
    assert (len(ensemble), ensemble.best) == (0, 0)
    for ask in (lambda: ensemble.outcome("test"), lambda: stages(ensemble, ensemble.choose())):
        with pytest.raises(UsageError, match="the run has not evaluated its base yet; resume it first"):
            ask()
    assert ensemble.logits(np.zeros((1, 9)), 0).shape == (1, 3)
