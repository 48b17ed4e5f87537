"""The cost of arms: trained and stored parameters, steps, examples, lost examples, and their table."""

from __future__ import annotations

import attrs
import pytest

from boostlora.engine.analysis.analyse import analyse
from boostlora.engine.analysis.model import Estimate
from boostlora.engine.analysis.quantities import effort, gained, lost, steps_of, stored
from boostlora.engine.analysis.table import cost_lines, cost_table, equal_costs
from boostlora.engine.contracts import Metrics
from boostlora.engine.contracts.records import RoundRecord

from .synthetic_study import NUMBERS, STEPS, make_study

SPEC = {"optimizer": {"steps": 40, "batch_size": 128}}


def _record(number, failures=0, **more):
    metrics = Metrics(accuracy=0.5, loss=1.0, count=100)
    splits = dict.fromkeys(("train", "validation", "test"), metrics)
    status = "merged" if number else "base"
    return RoundRecord(
        round=number, status=status, scale=float(number > 0), failures=failures, **splits, **more
    )


def test_stored_parameters_exceed_trained_ones_only_for_stored_frames():
    records = [_record(0), _record(1, parameters=16), _record(2, parameters=16, stored=1000)]
    assert stored(records) == 16 + 1000


def test_unmerged_round_stores_no_parameters():
    refused = attrs.evolve(_record(1, parameters=16, stored=500), scale=0.0, status="refused")
    assert stored([_record(0), refused]) == 0


def test_lost_share_sums_examples_over_rounds_before_dividing():
    # Of 10 right ones the first round breaks 5, of 90 the second breaks 9: 14 of 100, not the mean of 50 and 10 %.
    records = [
        _record(0),
        _record(1, failures=90, lost=5, gained=85),
        _record(2, failures=10, lost=9),
    ]
    assert lost(records) == pytest.approx(0.14)
    assert gained(records) == pytest.approx(0.85)


def test_lost_share_is_unknown_when_no_example_was_ever_right():
    assert lost([_record(0, failures=100), _record(1, failures=100)]) is None
    assert gained([_record(0), _record(1)]) is None
    assert lost([_record(0, failures=50)]) is None


def test_steps_and_examples_are_those_of_all_rounds():
    assert effort(SPEC, 3) == {"steps": 120, "examples": 120 * 128}
    assert effort({"optimizer": {"steps": 40}}, 3) == {"steps": 120}
    assert effort({}, 3) == {}


@pytest.mark.parametrize(
    ("boosting", "expected"),
    [
        ({"refit_every": 2}, [40, 40, 40, 40, 40, 40]),
        ({"refit_every": 2, "refit_steps": 7}, [40, 40, 7, 40, 40, 7]),
        ({"refit_every": 0, "refit_steps": 7}, [40] * 6),
    ],
)
def test_steps_of_refits_are_their_own(boosting, expected):
    assert steps_of({**SPEC, "boosting": boosting}, 6) == expected


@pytest.fixture
def analysis(tmp_path):
    return analyse(tmp_path, make_study(tmp_path, seeds=2, examples=50, blocks=("90", "45")))


def test_row_has_the_cost_of_its_arm(analysis):
    found = {name: estimate.mean for name, estimate in analysis.rows[0].metrics.items()}
    assert (found["parameters"], found["stored"], found["steps"]) == (4 * NUMBERS, 4 * NUMBERS, 4 * STEPS)
    assert 0.0 <= found["lost"] <= 1.0


def test_cost_table_states_values_common_to_all_arms_once(analysis):
    assert equal_costs(analysis)["steps"] == 4 * STEPS
    found = cost_table(analysis)
    assert found.columns == ("arm", "parameters", "stored", "lost (%)", "time (s)")
    assert [block.heading for block in found.blocks] == ["90", "45"]
    assert cost_lines(analysis, 200)[-1].startswith(f"in every arm: {4 * STEPS:,} steps")


def test_cost_table_has_a_column_of_steps_when_arms_differ(analysis):
    first = analysis.rows[0]
    other = Estimate(mean=7.0, low=None, high=None, values=(7.0, 7.0))
    row = attrs.evolve(first, metrics={**first.metrics, "steps": other})
    changed = attrs.evolve(analysis, rows=(row, *analysis.rows[1:]))
    assert "steps" in cost_table(changed).columns
    assert "steps" not in cost_lines(changed, 200)[-1]


@pytest.mark.parametrize("width", [200, 32, 24])
def test_cost_lines_drop_columns_until_they_fit(analysis, width):
    lines = cost_lines(analysis, width)[:-1]
    assert max(map(len, lines)) <= width or "stored" not in lines[0]
    assert lines[0].startswith("arm")
    assert "parameters" in lines[0]


def test_cost_of_an_unstarted_study_has_no_lines(tmp_path):
    study = make_study(tmp_path, seeds=2, pending=lambda _: True)
    assert cost_lines(analyse(tmp_path, study), 200) == []
