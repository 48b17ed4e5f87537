import attrs
import numpy as np
import pytest

from boostlora.engine.analysis.analyse import analyse, lookup
from boostlora.engine.study.record import Arm

from .synthetic_study import BASE, NUMBERS, RANK, STEPS, make_study


def _rows(tmp_path, **options):
    return analyse(tmp_path, make_study(tmp_path, **options)).rows


def test_rows_come_block_by_block_in_the_order_of_the_arms(tmp_path):
    rows = _rows(tmp_path, arms={"z": 0.6, "a": 0.7}, blocks=("90", "45"), seeds=1, examples=20)
    assert [(row.block, row.arm, row.is_baseline) for row in rows] == [
        ("90", "z", True),
        ("90", "a", False),
        ("45", "z", True),
        ("45", "a", False),
    ]


def test_row_has_the_planted_values(tmp_path):
    row = _rows(tmp_path, seeds=(3, 1), spread=0.0, examples=200)[1]
    mean = {name: estimate.mean for name, estimate in row.metrics.items()}
    assert row.seeds == (3, 1)
    assert mean["test.accuracy"] == mean["validation.accuracy"] == pytest.approx(0.8)
    assert mean["base.test.accuracy"] == pytest.approx(BASE)
    assert mean["base.test.loss"] > mean["test.loss"] > 0
    assert (mean["rank"], mean["effective_rank"], mean["overlap"]) == (4 * RANK, 3 * RANK, 1e-15)
    assert (mean["parameters"], mean["rounds"], mean["steps"]) == (4 * NUMBERS, 4, 4 * STEPS)
    assert mean["seconds"] == pytest.approx(0.1 + 4 * 0.6)
    assert mean["memory_bytes"] == 2**27


def test_row_at_the_best_round_has_its_model_and_the_time_of_the_whole_run(tmp_path):
    row = _rows(tmp_path, seeds=2, spread=0.0, peaks={"a": 2}, at="best")[0]
    mean = {name: estimate.mean for name, estimate in row.metrics.items()}
    assert mean["test.accuracy"] == pytest.approx(0.7)
    assert (mean["rounds"], mean["parameters"], mean["rank"], mean["steps"]) == (
        2,
        2 * NUMBERS,
        2 * RANK,
        2 * STEPS,
    )
    assert mean["seconds"] == pytest.approx(2.5)


def test_lost_and_gained_are_shares_of_right_and_wrong_examples(tmp_path):
    study = make_study(tmp_path, seeds=1, spread=0.0, examples=100, rounds=2, peaks={"a": 1})
    analysis = analyse(tmp_path, study)
    first, second = analysis.cells[0].records[1:]
    assert (first.lost, first.gained, second.lost, second.gained) == (0, 40, 5, 0)
    right, wrong = 100 - second.failures, second.failures
    expected = (first.lost + second.lost) / (30 + right)
    assert analysis.rows[0].metrics["lost"].mean == pytest.approx(expected)
    expected = (first.gained + second.gained) / (70 + wrong)
    assert analysis.rows[0].metrics["gained"].mean == pytest.approx(expected)


def test_estimate_has_values_by_seed_and_an_interval_around_their_mean(tmp_path):
    row = _rows(tmp_path, seeds=6, spread=0.05)[0]
    found = row.metrics["test.accuracy"]
    assert len(found.values) == 6
    assert found.mean == pytest.approx(np.mean(found.values))
    assert min(found.values) < found.low < found.mean < found.high < max(found.values)


def test_estimate_of_one_seed_has_no_interval(tmp_path):
    found = _rows(tmp_path, seeds=1, examples=20)[0].metrics["test.accuracy"]
    assert (found.low, found.high) == (None, None)


def test_row_without_finished_seeds_has_no_metrics_or_comparison(tmp_path):
    row = _rows(tmp_path, seeds=2, examples=20, failed=lambda cell: cell.arm == "b")[1]
    assert (row.seeds, row.missing, row.metrics, row.comparison, row.cells) == ((), (0, 1), {}, None, ())


def test_metric_missing_in_some_cell_is_omitted(tmp_path):
    # A run of one round has no overlap: there is no earlier round.
    rows = _rows(tmp_path, seeds=2, examples=20, stops={("a", 1): 1})
    assert "overlap" not in rows[0].metrics
    assert "overlap" in rows[1].metrics


def test_solved_values_are_those_of_the_blocks_own_cells(tmp_path):
    study = make_study(tmp_path, seeds=1, examples=20)
    arm = Arm(label="b", values={"basis.use": "b"}, solved={"optimizer.steps": 7, "adapter.none": 3})
    study = attrs.evolve(study, arms=(study.arms[0], arm))
    values = analyse(tmp_path, study).rows[1].values
    assert values == {"basis.use": "b", "optimizer.steps": STEPS, "adapter.none": 3}


def test_lookup_of_a_missing_key_is_none():
    tree = {"a": {"b": 1}}
    assert (lookup(tree, "a.b"), lookup(tree, "a.c"), lookup(tree, "a.b.c"), lookup(tree, "x")) == (
        1,
        None,
        None,
        None,
    )
