"""Which round is the best, when a run stops, and results that do not belong to the rounds beside them."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.engine.boosting.round_plan import plan_round
from boostlora.engine.boosting.stop_rules import reason_to_stop
from boostlora.engine.contracts import Metrics
from boostlora.engine.contracts.records import RoundRecord
from boostlora.engine.errors import RunError
from boostlora.engine.records.run_result import best_of, check_ending
from boostlora.engine.registry import Registry
from boostlora.engine.spec.resolve import load_spec

NOTHING = Metrics(accuracy=0.0, loss=9.0, count=10)


def records_of(accuracies, losses=None):
    """Rounds by what they have on validation alone: on the other splits all are alike."""
    losses = [1.0] * len(accuracies) if losses is None else losses
    return [
        RoundRecord(
            round=r,
            status="merged",
            failures=1,
            train=NOTHING,
            validation=Metrics(accuracy=a, loss=loss, count=10),
            test=NOTHING,
            digest=f"d{r}",
        )
        for r, (a, loss) in enumerate(zip(accuracies, losses, strict=True))
    ]


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=12))
def test_best_round_is_the_earliest_with_the_best_validation(rows):
    accuracies, losses = (np.array(column) / 8 for column in zip(*rows, strict=True))
    records = records_of(accuracies.tolist(), losses.tolist())
    assert best_of(records, "accuracy", 0.0) == int(np.argmax(accuracies))
    assert best_of(records, "loss", 0.0) == int(np.argmin(losses))


def test_best_round_improves_by_more_than_the_margin():
    """Each of five rounds gains an eighth: with a margin of an eighth it takes two, and then the next but one is another."""
    records = records_of([0.0, 0.125, 0.25, 0.375, 0.5, 0.0])
    assert best_of(records, "accuracy", 0.0) == 4
    assert best_of(records, "accuracy", 0.125) == 4
    assert best_of(records[:4], "accuracy", 0.125) == 2
    assert best_of(records, "accuracy", 0.25) == 3
    assert best_of(records, "accuracy", 0.5) == 0


def end_of(records, patience=0, rounds=9, capacity=None, refit_every=0):
    spec = load_spec(
        "quickstart",
        Registry.load(),
        [f"stop.patience={patience}", f"rounds={rounds}", f"boosting.refit_every={refit_every}"],
    )
    return reason_to_stop(records, SimpleNamespace(capacity=capacity), plan_round(spec, len(records)))


@pytest.mark.parametrize(
    ("accuracies", "patience", "stops"),
    [
        ([0.5, 0.6, 0.6], 2, False),
        ([0.5, 0.6, 0.6, 0.6], 2, True),
        ([0.5, 0.6, 0.5, 0.7], 2, False),
        ([0.5, 0.4], 1, True),
        ([0.5], 1, False),
        ([0.5, 0.4, 0.4, 0.4], 0, False),
    ],
)
def test_patience_ends_after_that_many_rounds_without_improvement(accuracies, patience, stops):
    end = end_of(records_of(accuracies), patience)
    assert (end is not None) == stops
    if end:
        best = int(np.argmax(accuracies))
        assert end == ("patience", f"no improvement in validation accuracy since round {best}")


def test_last_round_and_exhausted_directions_precede_patience():
    flat = records_of([0.5, 0.5, 0.5])
    assert end_of(flat, 1, rounds=2) == ("completed", "all 2 rounds done")
    assert end_of(flat[:2], 1, rounds=1) == ("completed", "1 round done")
    status, reason = end_of(flat, 1, capacity=2)
    assert (status, reason) == ("exhausted", "unused directions ran out after 2 rounds")
    assert end_of(flat, capacity=3) is None
    assert end_of(flat, capacity=2, refit_every=2) is None, "a refit takes no directions"


STOP = {"metric": "accuracy", "min_delta": 0.0}


@pytest.fixture
def run(tmp_path):
    """A folder, its rounds, and the result that belongs to them."""
    records = records_of([0.5, 0.7, 0.6], [1.0, 0.9, 0.8])
    (tmp_path / "rounds.jsonl").write_text("")
    result = {"status": "completed", "reason": "", "rounds": 2, "best_round": 1, "digest": "d2"}
    return tmp_path, result, records


def test_result_of_its_rounds_is_accepted(run):
    check_ending(*run, STOP)
    check_ending(*run, {})
    folder, result, records = run
    check_ending(folder, {**result, "best_round": 2}, records, {**STOP, "metric": "loss"})
    check_ending(folder, {**result, "best_round": 0}, records, {**STOP, "min_delta": 0.3})
    check_ending(folder, {**result, "rounds": 0, "best_round": 0, "digest": ""}, [], STOP)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"digest": "other"}, r"rounds\.jsonl: damaged or altered: result\.json has 2 rounds with"),
        ({"digest": ""}, r"has 2 rounds with another digest"),
        ({"rounds": 3}, r"result\.json: damaged: rounds is 3, but 2 according to the rounds"),
        ({"best_round": 2}, r"result\.json: damaged: best_round is 2, but 1 according to the rounds"),
    ],
)
def test_result_of_other_rounds_is_refused_with_the_difference(change, message, run):
    folder, result, records = run
    with pytest.raises(RunError, match=message):
        check_ending(folder, {**result, **change}, records, STOP)


def test_result_without_its_rounds_is_refused(run):
    folder, result, _ = run
    (folder / "rounds.jsonl").unlink()
    with pytest.raises(RunError, match=r"it is missing, but result\.json has 2 rounds"):
        check_ending(folder, result, [], STOP)
    failed = {**result, "status": "failed", "rounds": 0, "best_round": 0, "digest": ""}
    check_ending(folder, failed, [], STOP)  # before its base was measured
