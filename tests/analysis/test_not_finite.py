import json

import attrs
import numpy as np
import pytest

from boostlora.engine.analysis.analyse import analyse
from boostlora.engine.analysis.summary import summary
from boostlora.engine.analysis.table import table_lines

from . import synthetic_study


@pytest.mark.parametrize("odd", [float("inf"), float("nan")])
@pytest.mark.parametrize("arms", [("b",), ("a", "b")])
def test_non_finite_losses_are_reported_without_an_error(tmp_path, monkeypatch, odd, arms):
    usual = synthetic_study.outcome_of

    def diverged(cell, *rest):
        outcome = usual(cell, *rest)
        lost = cell.arm in arms and cell.seed == 1
        return attrs.evolve(outcome, loss=np.full_like(outcome.loss, odd)) if lost else outcome

    monkeypatch.setattr(synthetic_study, "outcome_of", diverged)
    study = synthetic_study.make_study(tmp_path, seeds=3, examples=20, metric="loss")
    analysis = analyse(tmp_path, study)
    row = analysis.rows[1]
    assert (row.metrics["test.loss"].low, row.metrics["test.loss"].high) == (None, None)
    assert row.metrics["test.accuracy"].low is not None
    assert (row.comparison.verdict, row.comparison.p, row.comparison.p_holm) == ("unclear", None, None)
    assert row.comparison.words == "cannot be compared: the loss of some seed is not finite"
    assert row.comparison.examples is not None
    assert json.dumps(summary(analysis), allow_nan=False)
    assert table_lines(analysis, 100)


def test_tuning_with_nan_loss_is_never_chosen(tmp_path, monkeypatch):
    usual = synthetic_study.outcome_of

    def diverged(cell, *rest):
        outcome = usual(cell, *rest)
        lost = cell.tuning[synthetic_study.TUNED] == 9.0
        return attrs.evolve(outcome, loss=np.full_like(outcome.loss, np.nan)) if lost else outcome

    monkeypatch.setattr(synthetic_study, "outcome_of", diverged)
    study = synthetic_study.make_study(tmp_path, tunings=(9.0, 0.1), seeds=2, examples=20, metric="loss")
    assert {row.tuned[synthetic_study.TUNED] for row in analyse(tmp_path, study).rows} == {0.1}
