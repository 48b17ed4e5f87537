"""Candidates of tuning, as readers see them."""

import attrs
import numpy as np
import pytest

from boostlora.engine.analysis.analyse import analyse
from boostlora.engine.analysis.summary import summary

from .synthetic_study import TUNED, make_study


def test_candidates_of_a_study_that_tunes_nothing_are_none(tmp_path):
    analysis = analyse(tmp_path, make_study(tmp_path, seeds=1, examples=20))
    assert analysis.candidates == ()
    assert summary(analysis)["candidates"] == []


def test_candidates_are_all_tunings_of_every_arm_and_block_with_the_chosen_one_marked(tmp_path):
    study = make_study(tmp_path, tunings={0.3: 0.0, 0.1: -0.1}, blocks=("90", "45"), seeds=2, examples=50)
    found = analyse(tmp_path, study).candidates
    assert [(c.block, c.arm, c.tuning[TUNED], c.chosen) for c in found] == [
        (block, arm, lr, lr == 0.3) for block in ("90", "45") for arm in ("a", "b") for lr in (0.3, 0.1)
    ]


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
@pytest.mark.parametrize("at", ["last", "best"])
def test_candidate_has_the_validation_metric_at_the_counted_round(tmp_path, metric, at):
    study = make_study(
        tmp_path, tunings={0.1: -0.1, 0.3: 0.0}, seeds=3, examples=50, spread=0.05,
        peaks={"a": 2}, test_shift={0.1: 0.3}, metric=metric, at=at,
    )  # fmt: skip
    analysis = analyse(tmp_path, study)
    for candidate in analysis.candidates:
        views = [
            view
            for view in analysis.cells
            if (view.state.cell.arm, view.state.cell.tuning) == (candidate.arm, candidate.tuning)
        ]
        rounds = [view.result["best_round"] if at == "best" else -1 for view in views]
        expected = [getattr(v.records[r].validation, metric) for v, r in zip(views, rounds, strict=True)]
        assert candidate.seeds == (0, 1, 2)
        assert candidate.validation.values == tuple(expected)
        assert candidate.validation.mean == pytest.approx(np.mean(expected))
        assert min(expected) <= candidate.validation.low <= candidate.validation.high <= max(expected)


def test_chosen_candidate_has_the_rows_own_validation_number(tmp_path):
    analysis = analyse(
        tmp_path, make_study(tmp_path, tunings={0.1: -0.1, 0.3: 0.0}, seeds=4, examples=50, spread=0.05)
    )
    chosen = [candidate.validation for candidate in analysis.candidates if candidate.chosen]
    assert chosen == [row.metrics["validation.accuracy"] for row in analysis.rows]


def test_candidates_have_no_test_metrics(tmp_path):
    options = {"tunings": {0.1: 0.0, 0.3: 0.1}, "seeds": 2, "examples": 50}
    plain = analyse(tmp_path / "plain", make_study(tmp_path / "plain", **options))
    shifted = analyse(
        tmp_path / "shifted", make_study(tmp_path / "shifted", **options, test_shift={0.1: 0.2, 0.3: -0.2})
    )
    assert plain.rows[0].metrics["test.accuracy"] != shifted.rows[0].metrics["test.accuracy"]
    assert plain.candidates == shifted.candidates


def test_candidates_are_judged_over_the_seeds_that_all_have_finished(tmp_path):
    study = make_study(
        tmp_path, arms={"a": 0.7}, tunings={0.1: 0.0, 0.3: 0.1}, seeds=4, examples=50,
        pending=lambda cell: cell.tuning[TUNED] == 0.3 and cell.seed in {1, 2},
    )  # fmt: skip
    found = analyse(tmp_path, study).candidates
    assert [candidate.seeds for candidate in found] == [(0, 3), (0, 3)]
    assert [len(candidate.validation.values) for candidate in found] == [2, 2]


def test_candidates_that_share_no_seed_have_their_own(tmp_path):
    study = make_study(
        tmp_path, arms={"a": 0.7}, tunings={0.1: 0.0, 0.3: 0.1}, seeds=2, examples=50,
        pending=lambda cell: (cell.tuning[TUNED] == 0.1) == (cell.seed == 0),
    )  # fmt: skip
    found = analyse(tmp_path, study).candidates
    assert [(candidate.seeds, candidate.chosen) for candidate in found] == [((1,), False), ((0,), True)]


def test_unfinished_candidate_is_listed_without_a_value(tmp_path):
    study = make_study(
        tmp_path, tunings={0.1: 0.0, 9.0: 0.1}, seeds=2, examples=50, failed=lambda c: c.tuning[TUNED] == 9.0
    )
    found = [c for c in analyse(tmp_path, study).candidates if c.tuning[TUNED] == 9.0]
    assert [(c.arm, c.seeds, c.validation, c.chosen) for c in found] == [
        ("a", (), None, False),
        ("b", (), None, False),
    ]


def test_no_candidate_is_chosen_before_any_has_finished(tmp_path):
    study = make_study(tmp_path, tunings=(0.1, 0.3), seeds=2, examples=20, pending=lambda _: True)
    found = analyse(tmp_path, study).candidates
    assert [(c.seeds, c.validation, c.chosen) for c in found] == [((), None, False)] * 4


def test_candidates_of_the_summary_are_those_of_the_analysis(tmp_path):
    analysis = analyse(tmp_path, make_study(tmp_path, tunings=(0.1, 0.3), seeds=2, examples=20))
    content = summary(analysis)["candidates"]
    assert [entry["tuning"] for entry in content] == [dict(c.tuning) for c in analysis.candidates]
    assert content[0]["seeds"] == [0, 1]
    assert content[0]["validation"]["mean"] == analysis.candidates[0].validation.mean
    assert set(content[0]) == {field.name for field in attrs.fields(type(analysis.candidates[0]))}
