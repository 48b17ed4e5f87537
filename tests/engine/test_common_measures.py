"""Measures of every classification and regression, against scikit-learn and loops."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as sk

from boostlora.engine.contracts import Examples, Metrics, Predictions
from boostlora.engine.contracts.records import RoundRecord
from boostlora.engine.records.updates import read_outcomes, write_outcomes
from boostlora.engine.sdk.judge import judge_labels, metrics_of, with_measures
from boostlora.engine.sdk.metrics import (
    CLASS_MEASURES,
    area_under_roc,
    average_precision,
    calibration_error,
    class_measures,
    classification_measures,
    probabilities,
    recall_names,
    regression_measures,
)
from boostlora.engine.testing import assert_close

ROUNDING = 1e-12
"""A few float64 operations on numbers near 1."""
Pairs = list[tuple[int, int]]
EARLIER = "68a3a5d3e73224db98e5020c1f35e0ef53913e20de515ef10a813977fa48f33f"
"""The digest of a record without own measures, as it was before these were kept apart."""


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-5, 5)), min_size=2, max_size=60))
def test_ranking_of_scores_with_ties_is_that_of_scikit_learn(rows: Pairs) -> None:
    y, z = np.array([a for a, _ in rows]), np.array([float(b) for _, b in rows])
    assume(0 < y.sum() < len(y))
    assert_close(area_under_roc(y == 1, z), sk.roc_auc_score(y, z), atol=ROUNDING, what="auroc")
    expected = sk.average_precision_score(y, z)
    assert_close(average_precision(y == 1, z), expected, atol=ROUNDING, what="average precision")


@given(st.integers(2, 5), st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=5, max_size=60))
def test_measures_of_predicted_classes_are_those_of_scikit_learn(classes: int, rows: Pairs) -> None:
    y, found = np.array([a % classes for a, _ in rows]), np.array([b % classes for _, b in rows])
    assume(len(np.unique(y)) == classes)
    actual = class_measures(y, found, classes)
    expected = {
        "mcc": sk.matthews_corrcoef(y, found),
        "balanced_accuracy": sk.balanced_accuracy_score(y, found),
        "macro_f1": sk.f1_score(y, found, average="macro"),
    }
    for name, value in expected.items():
        assert_close(actual[name], value, atol=ROUNDING, what=name)


def logits_of(seed: int, n: int, k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n)])
    return y, rng.normal(0.0, 2.0, (len(y), k))


@given(st.integers(0, 2**32 - 1), st.integers(0, 60), st.integers(2, 6))
def test_calibration_error_is_that_of_a_loop(seed: int, n: int, k: int) -> None:
    y, z = logits_of(seed, n, k)
    p, expected = probabilities(z), 0.0
    for b in range(15):
        members = [i for i in range(len(y)) if b <= 15 * p[i].max() < b + 1 or (b == 14 and p[i].max() == 1)]
        if members:
            right = np.mean([p[i].argmax() == y[i] for i in members])
            expected += len(members) / len(y) * abs(right - np.mean([p[i].max() for i in members]))
    assert_close(calibration_error(y, p), expected, atol=ROUNDING, what="calibration error")


@given(st.integers(0, 2**32 - 1), st.integers(10, 60), st.integers(2, 5))
def test_measures_of_logits_are_complete_and_rank_each_class_against_the_others(
    seed: int, n: int, k: int
) -> None:
    y, z = logits_of(seed, n, k)
    names = [f"c{i}" for i in range(k)]
    found, p = classification_measures(y, z, names), probabilities(z)
    assert set(found) == {*CLASS_MEASURES, *recall_names(names)} - ({"f1"} if k > 2 else set())
    expected = (
        sk.roc_auc_score(y, p[:, 1])
        if k == 2
        else np.mean([sk.roc_auc_score(y == j, p[:, j]) for j in range(k)])
    )
    assert_close(found["auroc"], expected, atol=ROUNDING, what="auroc")


@given(st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=2, max_size=40))
def test_measures_of_values_are_those_of_scikit_learn(rows: list[tuple[float, float]]) -> None:
    y, z = np.array([a for a, _ in rows]), np.array([b for _, b in rows])
    assume(y.std() > 1e-2)
    found = regression_measures(y, z)
    assert_close(found["rmse"], sk.root_mean_squared_error(y, z), atol=ROUNDING, rtol=ROUNDING, what="rmse")
    assert_close(found["mae"], sk.mean_absolute_error(y, z), atol=ROUNDING, rtol=ROUNDING, what="mae")
    # 1 - a quotient of up to 1e8.
    assert_close(found["r2"], sk.r2_score(y, z), atol=ROUNDING, rtol=1e-10, what="r2")


def test_values_that_are_all_equal_have_no_r2() -> None:
    assert regression_measures(np.ones(3), np.arange(3.0)).keys() == {"rmse", "mae"}


def test_measures_of_the_task_are_kept_apart_from_the_common_ones(tmp_path: Path) -> None:
    n = 6
    labels = np.arange(n) % 2
    examples = Examples(ids=np.arange(n), inputs=np.zeros((n, 1)), labels=labels)
    logits = np.column_stack([np.zeros(n), np.linspace(-1.0, 1.0, n)])
    given = Predictions(output=logits.argmax(axis=1), loss=np.ones(n), logits=logits)
    judged = attrs.evolve(judge_labels(examples, given), measures={"auroc": 0.25, "extra": 1.0})
    outcome = with_measures(judged, examples, given, ("no", "yes"))
    assert outcome.own == ("auroc", "extra")
    assert outcome.measures["auroc"] == 0.25
    assert "mcc" in outcome.measures
    sha256 = write_outcomes(tmp_path / "outcomes", {"test": outcome})
    read = read_outcomes(tmp_path / "outcomes", sha256)["test"]
    assert (read.own, dict(read.measures)) == (outcome.own, dict(outcome.measures))
    assert metrics_of(read) == metrics_of(outcome)
    assert metrics_of(read).own == ("auroc", "extra")


def test_record_keeps_the_names_of_own_measures_and_its_digest_without_them() -> None:
    plain = Metrics(accuracy=0.5, loss=1.0, count=2, measures={"mcc": 0.1})
    own = attrs.evolve(plain, measures={"auroc": 0.2}, own=("auroc",))

    def sealed(metrics: Metrics) -> RoundRecord:
        found = RoundRecord(
            round=0, status="base", failures=1, train=metrics, validation=metrics, test=metrics
        )
        return found.sealed("")

    for metrics in (plain, own):
        read = RoundRecord.from_line(sealed(metrics).to_line())
        assert read == sealed(metrics)
        assert read.is_sealed("")
    line = json.loads(sealed(plain).to_line())
    for split in ("train", "validation", "test"):
        del line[split]["own"]
    earlier = RoundRecord.from_line(json.dumps(line))
    assert earlier == sealed(plain)
    assert earlier.digest == EARLIER, "records written before measures were kept apart are no longer valid"
    assert sealed(own).digest != sealed(attrs.evolve(own, own=())).digest
