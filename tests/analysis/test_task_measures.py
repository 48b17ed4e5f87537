"""Measures of tasks beside accuracy and loss: in rows, curves, comparisons, choices and the terminal's table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from boostlora.engine.analysis.analyse import analyse
from boostlora.engine.analysis.formats import difference_text, metric_text, number_text, unit_of
from boostlora.engine.analysis.model import Analysis, Row
from boostlora.engine.analysis.quantities import measured
from boostlora.engine.analysis.table import table, table_lines
from boostlora.engine.contracts import Metrics, Outcome
from boostlora.engine.testing import assert_close

from . import synthetic_study
from .synthetic_study import make_study

Made = Callable[..., Analysis]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """A study whose task measures `auroc`, which grows with the accuracy, and `timed_out`, which falls with it; `own` are its own."""
    plain, own = synthetic_study.metrics_of, ["timed_out"]

    def metrics_of(outcome: Outcome) -> Metrics:
        found = plain(outcome)
        measures = {"auroc": 0.5 + found.accuracy / 2, "timed_out": 1.0 - found.accuracy}
        return attrs.evolve(found, measures=measures, own=tuple(own))

    monkeypatch.setattr(synthetic_study, "metrics_of", metrics_of)

    def make(*, own_auroc: bool = False, **options: Any) -> Analysis:
        own[:] = ["auroc", "timed_out"] if own_auroc else ["timed_out"]
        return analyse(tmp_path, make_study(tmp_path, **options))

    return make


def row(analysis: Analysis, arm: str) -> Row:
    return next(row for row in analysis.rows if row.arm == arm)


def test_rows_have_every_measure_of_every_split_and_of_the_base(made: Made) -> None:
    found = row(made(), "b").metrics
    for split in ("test", "validation", "train"):
        for prefix in (split, f"base.{split}"):
            accuracy = found[f"{prefix}.accuracy"].mean
            # A mean of the same affine values: float64 rounding.
            assert_close(found[f"{prefix}.auroc"].mean, 0.5 + accuracy / 2, atol=1e-12, what=prefix)
            assert_close(found[f"{prefix}.timed_out"].mean, 1 - accuracy, atol=1e-12, what=prefix)
    assert measured(found, "test") == ["auroc", "timed_out"]


def test_curves_have_measures_after_every_round(made: Made) -> None:
    analysis = made(rounds=4)
    (curve,) = [c for c in analysis.curves if (c.arm, c.quantity) == ("b", "test.auroc")]
    assert len(curve.mean) == 5
    assert curve.mean[-1] == row(analysis, "b").metrics["test.auroc"].mean


@pytest.mark.parametrize("metric", ["auroc", "timed_out"])
def test_comparison_by_a_measure_uses_its_direction(made: Made, metric: str) -> None:
    analysis = made(metric=metric, seeds=8, arms={"a": 0.6, "up": 0.8, "down": 0.4})
    up, down = (row(analysis, arm).comparison for arm in ("up", "down"))
    assert up
    assert down
    assert (up.verdict, up.wins) == ("better", 8)
    assert (down.verdict, down.wins) == ("worse", 0)
    assert (up.difference.mean > 0) == (metric == "auroc")


@pytest.mark.parametrize("metric", ["auroc", "timed_out"])
def test_choice_by_a_measure_takes_the_best_on_validation(made: Made, metric: str) -> None:
    analysis = made(metric=metric, tunings={0.1: 0.0, 0.3: 0.1, 1.0: -0.1})
    assert {tuple(found.tuned.values()) for found in analysis.rows} == {(0.3,)}
    for candidate in analysis.candidates:
        assert candidate.validation is not None
        assert candidate.chosen == (candidate.tuning["optimizer.lr"] == 0.3)


def test_metric_that_no_cell_measures_is_reported_without_an_error(made: Made) -> None:
    analysis = made(metric="mcc", tunings=(0.1, 0.3))
    assert any(note.startswith("no mcc of the test split in 20 cells") for note in analysis.notes)
    assert any(note.endswith("metrics are: accuracy, loss, auroc, timed_out") for note in analysis.notes)
    comparison = row(analysis, "b").comparison
    assert comparison
    assert comparison.words == "cannot be compared: the mcc of some seed is not known"
    assert all(candidate.validation is None for candidate in analysis.candidates)
    assert "b" in "\n".join(table_lines(analysis, 1000))


def test_table_shows_other_measures_with_the_accuracy(made: Made) -> None:
    analysis = made(metric="auroc")
    columns = table(analysis).columns
    assert columns[3:7] == ("test auroc", "accuracy (%)", "timed_out (%)", "difference")
    cells = dict(zip(columns, table(analysis).blocks[0].rows[1], strict=True))
    metrics = row(analysis, "b").metrics
    assert cells["test auroc"].startswith(f"{metrics['test.auroc'].mean:.3f} [0.")
    assert cells["accuracy (%)"] == f"{100 * metrics['test.accuracy'].mean:.1f}"


def test_table_in_a_narrow_terminal_drops_measures_first(made: Made) -> None:
    analysis = made(metric="timed_out")
    wide = table_lines(analysis, 1000)
    assert "auroc" in wide[0]
    narrow = table_lines(analysis, max(map(len, wide)) - 1)
    assert "auroc" not in narrow[0]
    assert "accuracy" in narrow[0]
    narrower = table_lines(analysis, max(map(len, narrow)) - 1)
    assert "accuracy" not in narrower[0]
    assert "rounds" in narrower[0]


def test_table_of_a_study_by_accuracy_has_only_measures_that_not_every_task_has(made: Made) -> None:
    head = table_lines(made(), 1000)[0]
    assert "timed_out" in head
    assert "auroc" not in head


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_measure_of_a_common_name_is_shown_if_it_is_the_tasks_own(made: Made, metric: str) -> None:
    head = table_lines(made(metric=metric, own_auroc=True), 1000)[0]
    assert "auroc" in head
    assert "timed_out" in head


def test_table_of_a_task_without_measures_is_unchanged(tmp_path: Path) -> None:
    analysis = analyse(tmp_path, make_study(tmp_path, metric="loss"))
    assert not [c for c in table(analysis).columns if "accuracy" in c]


@pytest.mark.parametrize(
    ("metric", "text", "unit"),
    [
        ("auroc", "0.812", ""),
        ("test.mcc", "0.812", ""),
        ("pass_4", "81.2", "%"),
        ("test.balanced_accuracy", "81.2", "%"),
        ("timed_out", "81.2", "%"),
        ("validation.loss", "0.812", "nats"),
        ("rank", "0.8", ""),
    ],
)
def test_numbers_of_measures_are_written_as_their_kind(metric: str, text: str, unit: str) -> None:
    assert (number_text(0.8123, metric), unit_of(metric)) == (text, unit)


def test_whole_values_of_measures_keep_their_decimals(made: Made) -> None:
    assert number_text(1.0, "auroc") == "1.000"
    difference = row(made(metric="auroc"), "b").comparison
    assert difference
    text = difference_text(difference.difference, "auroc")
    assert text.startswith("+0.0")
    assert "points" not in text
    assert "  " not in text
    assert metric_text(None, "auroc") == "-"
