"""Outcomes and metrics of selections of rounds, recorded and recomputed."""

from __future__ import annotations

import numpy as np
import pytest

from boostlora.engine.contracts import Outcome
from boostlora.engine.ensemble.ensemble import Ensemble
from boostlora.engine.ensemble.staged_evaluation import evaluate, gain, without_each
from boostlora.engine.errors import UsageError
from boostlora.engine.sdk.judge import metrics_of
from boostlora.engine.testing import assert_close

from .families import Family

SPLITS = ("train", "validation", "test")


def _same(one: Outcome, two: Outcome) -> None:
    for field in ("ids", "prediction", "correct", "reward", "loss"):
        np.testing.assert_array_equal(getattr(one, field), getattr(two, field))


@pytest.mark.parametrize("split", SPLITS)
def test_recomputed_outcomes_are_the_recorded_ones(split: str, used: Ensemble) -> None:
    for rounds in (0, 2, None, 1):
        _same(used.outcome(split, rounds, recompute=True), used.outcome(split, rounds))
        assert used.evaluate(split, rounds) == metrics_of(used.outcome(split, rounds))


def test_recorded_outcomes_are_read_without_opening_the_model(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensemble = family.open()

    def none(*_: object, **__: object) -> None:
        raise AssertionError("the model was opened")

    monkeypatch.setattr("boostlora.engine.ensemble.source.open_experiment", none)
    found = [ensemble.outcome("test", n) for n in range(len(ensemble) + 1)]
    assert [metrics_of(outcome) for outcome in found] == ensemble.staged("test")
    with pytest.raises(AssertionError, match="the model was opened"):
        ensemble.outcome("test", "2..3")


def test_staged_metrics_are_those_of_every_prefix(used: Ensemble) -> None:
    for split in SPLITS:
        expected = [used.evaluate(split, n, recompute=True) for n in range(len(used) + 1)]
        assert used.staged(split) == expected
    assert len(used.staged()) == len(used) + 1


def test_weighted_selections_are_evaluated_as_assembled(family: Family, used: Ensemble) -> None:
    outcome = used.outcome("test", {1: 0.5, 3: -1.0})
    _same(family.open().outcome("test", {1: 0.5, 3: -1.0}), outcome)
    assert outcome.loss.tolist() != used.outcome("test").loss.tolist()


@pytest.mark.parametrize("split", ["tests", "", "all"])
def test_unknown_splits_are_refused(split: str, used: Ensemble) -> None:
    for ask in (used.outcome, used.evaluate):
        with pytest.raises(UsageError) as caught:
            ask(split)
        assert str(caught.value) == f'no split "{split}"; there are: train, validation, test'


def test_evaluation_is_paired_with_the_base_and_with_all_rounds(used: Ensemble) -> None:
    found = evaluate(used, used.choose("2..3"), ("validation", "test"))
    assert (found.rounds, found.recorded) == ("2..3", False)
    assert found.metrics == {s: used.evaluate(s, "2..3") for s in ("validation", "test")}
    assert found.base == {s: used.evaluate(s, 0) for s in ("validation", "test")}
    assert found.all_rounds == {s: used.evaluate(s) for s in ("validation", "test")}
    for split in ("validation", "test"):
        for pair, other in ((found.against_base[split], 0), (found.against_all[split], None)):
            mine, theirs = used.outcome(split, "2..3").correct, used.outcome(split, other).correct
            assert pair is not None
            assert pair.only_first == int(np.sum(mine & ~theirs))
            assert pair.only_second == int(np.sum(~mine & theirs))
            assert_close(
                pair.difference,
                float(np.mean(mine) - np.mean(theirs)),
                atol=1e-12,
                rtol=0.0,
                what="difference",
            )


def test_leaving_one_round_out_is_the_selection_without_it(used: Ensemble) -> None:
    choice = used.choose()
    found = list(without_each(used, choice))
    merged = [r.round for r in used.records if r.scale != 0.0]
    assert [stage.round for stage in found] == merged
    for stage in found:
        rest = [n for n in choice.weights if n != stage.round]
        assert stage.validation == used.evaluate("validation", rest)
        assert stage.test == used.evaluate("test", rest)
        whole = used.evaluate("validation")
        assert gain(stage.validation, whole, "loss") == stage.validation.loss - whole.loss
        better = gain(stage.validation, whole, "accuracy")
        assert_close(better, whole.accuracy - stage.validation.accuracy, atol=1e-12, rtol=0.0, what="worth")
