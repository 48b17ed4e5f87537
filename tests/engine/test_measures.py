"""`engine.sdk.metrics`: numbers by hand where they are defined, nothing where they are not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.engine.contracts import Metrics
from boostlora.engine.sdk.metrics import (
    MAX_LOG_ODDS,
    binary_measures,
    class_measures,
    cost,
    log_odds,
    lower_is_better,
    ranking_measures,
    value_of,
)
from boostlora.engine.testing import assert_close

ROUNDING = 1e-12
"""A few float64 operations on numbers near 1."""


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-12, 12)), min_size=2, max_size=30))
def test_auroc_counts_pairs_in_order_with_ties_half(rows: list[tuple[int, int]]) -> None:
    """Against the definition: the share of pairs (class 1, class 0) whose scores are in order."""
    labels, z = np.array([y for y, _ in rows]), np.array([float(z) for _, z in rows])
    tight, weak = z[labels == 1], z[labels == 0]
    found = ranking_measures(labels, z)
    if not (len(tight) and len(weak)):
        assert found == {}
        return
    order = np.sign(tight[:, None] - weak)
    assert_close(found["auroc"], float(((order + 1) / 2).mean()), atol=ROUNDING, what="auroc")


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.floats(-MAX_LOG_ODDS + 1, MAX_LOG_ODDS - 1)), min_size=1, max_size=20
    )
)
def test_log_odds_are_recovered_from_the_loss(rows: list[tuple[int, float]]) -> None:
    labels, z = np.array([y for y, _ in rows]), np.array([z for _, z in rows])
    signed = np.where(labels == 1, z, -z)
    loss = np.log1p(np.exp(-np.abs(signed))) + np.maximum(-signed, 0.0)  # -log sigmoid(signed)
    # The loss of a sure answer is near 1e-6, of which float64 has ten digits.
    assert_close(log_odds(labels, loss), z, atol=1e-8, what="log-odds")


@pytest.mark.parametrize("loss", [0.0, 1e-300, 800.0, np.inf])
def test_log_odds_of_certainties_are_finite_and_symmetric(loss: float) -> None:
    """A loss of 0 in float32 may be any odds beyond 16: it must not outrank a wrong answer that is as sure."""
    labels = np.array([1, 0])
    found = log_odds(labels, np.array([loss, loss]))
    assert_close(np.abs(found), np.array([MAX_LOG_ODDS, MAX_LOG_ODDS]), atol=0.0, what="cut log-odds")
    assert found[0] == -found[1]


def test_auroc_treats_saturated_scores_as_ties() -> None:
    labels, loss = np.array([1, 0]), np.array([0.0, 40.0])  # both are surely called class 1
    assert ranking_measures(labels, log_odds(labels, loss))["auroc"] == 0.5


def test_binary_measures_of_nan_are_absent() -> None:
    assert binary_measures(np.array([0, 1]), np.array([np.nan, 1.0])) == {}
    assert ranking_measures(np.array([0, 1]), log_odds(np.array([0, 1]), np.array([np.nan, 1.0]))) == {}


def test_binary_measures_of_a_perfect_and_a_constant_model() -> None:
    labels = np.array([0, 0, 0, 1])
    perfect = binary_measures(labels, np.array([-3.0, -2.0, -1.0, 1.0]))
    assert perfect == {
        "auroc": 1.0,
        "auprc": 1.0,
        "mcc": 1.0,
        "balanced_accuracy": 1.0,
        "macro_f1": 1.0,
        "f1": 1.0,
    }
    blind = binary_measures(labels, np.full(4, -1.0))
    assert blind == {
        "auroc": 0.5,
        "auprc": 0.25,
        "mcc": 0.0,
        "balanced_accuracy": 0.5,
        "macro_f1": 3 / 7,
        "f1": 0.0,
    }


def test_class_measures_of_three_classes_by_hand() -> None:
    labels, predicted = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 1, 0, 2, 1])
    found = class_measures(labels, predicted, classes=3)
    assert list(found) == ["mcc", "balanced_accuracy", "macro_f1"]
    assert_close(found["balanced_accuracy"], (1 + 0.5 + 0.5) / 3, atol=ROUNDING, what="balanced accuracy")
    assert_close(found["macro_f1"], (0.8 + 0.5 + 2 / 3) / 3, atol=ROUNDING, what="mean F1")
    # Gorodkin's R_K: (c s - sum p t) / sqrt((s^2 - sum p^2)(s^2 - sum t^2)) with c = 4, s = 6, p = (3, 2, 1), t = (2, 2, 2).
    assert_close(
        found["mcc"], (4 * 6 - 12) / np.sqrt((36 - 14) * (36 - 12)), atol=ROUNDING, what="correlation"
    )


def test_class_measures_of_a_class_without_examples_are_absent() -> None:
    assert class_measures(np.array([0, 1]), np.array([0, 2]), classes=3) == {}
    assert class_measures(np.array([1, 1]), np.array([0, 1])) == {}


def test_class_measures_are_defined_for_a_predicted_class_without_labels() -> None:
    found = class_measures(np.array([0, 1, 1]), np.array([0, 1, 1]))
    assert found["mcc"] == 1.0


def test_metric_values_and_directions() -> None:
    metrics = Metrics(accuracy=0.75, loss=0.5, count=4, measures={"auroc": 0.9, "timed_out": 0.25})
    assert [value_of(metrics, name) for name in ("accuracy", "loss", "auroc")] == [0.75, 0.5, 0.9]
    assert np.isnan(value_of(metrics, "mcc"))
    assert [lower_is_better(name) for name in ("loss", "timed_out", "accuracy", "auroc")] == [
        True,
        True,
        False,
        False,
    ]
    assert_close(cost(metrics, "auroc"), 0.1, atol=ROUNDING, what="cost of a measure")
    assert cost(metrics, "timed_out") == 0.25
    assert cost(metrics, "loss") == 0.5
