import pytest

from boostlora.engine.analysis.analyse import analyse

from .synthetic_study import BASE, NUMBERS, RANK, STEPS, make_study


def _curves(tmp_path, **options):
    found = analyse(tmp_path, make_study(tmp_path, **options)).curves
    return {(curve.block, curve.arm, curve.quantity): curve for curve in found}


def test_curve_goes_from_the_base_to_the_value_of_the_row(tmp_path):
    study = make_study(tmp_path, seeds=4)
    analysis = analyse(tmp_path, study)
    curve = next(c for c in analysis.curves if (c.arm, c.quantity) == ("b", "test.accuracy"))
    assert curve.mean[0] == pytest.approx(BASE)
    assert curve.mean[-1] == pytest.approx(analysis.rows[1].metrics["test.accuracy"].mean)
    assert len(curve.mean) == len(curve.low) == len(curve.high) == 5
    assert all(low <= mean <= high for low, mean, high in zip(curve.low, curve.mean, curve.high, strict=True))


def test_last_band_of_a_curve_is_close_to_the_interval_of_the_row(tmp_path):
    analysis = analyse(tmp_path, make_study(tmp_path, seeds=8, spread=0.05))
    curve = next(c for c in analysis.curves if (c.arm, c.quantity) == ("b", "test.accuracy"))
    row = analysis.rows[1].metrics["test.accuracy"]
    width = row.high - row.low
    assert abs(curve.low[-1] - row.low) < 0.1 * width
    assert abs(curve.high[-1] - row.high) < 0.1 * width


def test_curve_has_all_axes(tmp_path):
    curve = _curves(tmp_path, seeds=2, examples=20)["", "a", "rank"]
    assert curve.x["round"] == (0, 1, 2, 3, 4)
    assert curve.x["rank"] == curve.mean == tuple(RANK * n for n in range(5))
    assert curve.x["parameters"] == tuple(NUMBERS * n for n in range(5))
    assert curve.x["steps"] == tuple(STEPS * n for n in range(5))
    assert curve.x["seconds"] == pytest.approx([0.1 + 0.6 * n for n in range(5)])


def test_steps_follow_the_spec_of_each_cell_and_end_with_its_run(tmp_path):
    study = make_study(tmp_path, arms={"a": 0.7}, seeds=2, examples=20, stops={("a", 1): 2})
    spec = tmp_path / study.cells[1].folder / "spec.toml"
    spec.write_text(spec.read_text().replace(f"steps = {STEPS}", "steps = 100"))
    curve = analyse(tmp_path, study).curves[0]
    assert curve.x["steps"] == (
        0,
        (STEPS + 100) / 2,
        (2 * STEPS + 200) / 2,
        (3 * STEPS + 200) / 2,
        (4 * STEPS + 200) / 2,
    )


def test_curve_of_specs_without_steps_has_no_step_axis(tmp_path):
    study = make_study(tmp_path, arms={"a": 0.7}, seeds=1, examples=20)
    spec = tmp_path / study.cells[0].folder / "spec.toml"
    spec.write_text(spec.read_text().replace(f"steps = {STEPS}\n", ""))
    assert "steps" not in analyse(tmp_path, study).curves[0].x


def test_curve_of_one_seed_has_no_band(tmp_path):
    curve = _curves(tmp_path, seeds=1, examples=20)["", "a", "test.loss"]
    assert curve.low == curve.high == (None,) * 5


def test_stopped_run_carries_its_last_value_forward(tmp_path):
    study = make_study(tmp_path, arms={"a": 0.7}, seeds=2, stops={("a", 1): 2})
    analysis = analyse(tmp_path, study)
    curves = {curve.quantity: curve for curve in analysis.curves}
    whole, short = (view.records for view in analysis.cells)
    assert len(short) == 3
    for number in (3, 4):
        expected = (whole[number].test.accuracy + short[2].test.accuracy) / 2
        assert curves["test.accuracy"].mean[number] == pytest.approx(expected)
        assert curves["rank"].mean[number] == (RANK * number + RANK * 2) / 2
        # A run that has stopped fixes nothing more, whatever it did in its last round.
        assert short[2].gained > 0
        gained_share = whole[number].gained / whole[number].failures
        assert curves["gained"].mean[number] == pytest.approx(gained_share / 2)
    assert "1 run stopped before the last round: curves carry its last value forward" in analysis.notes


def test_curves_use_only_the_chosen_tuning_and_finished_seeds(tmp_path):
    curves = _curves(
        tmp_path,
        tunings={0.1: 0.0, 0.3: 0.1},
        seeds=2,
        spread=0,
        failed=lambda cell: cell.arm == "b" or cell.seed == 1,
    )
    assert {arm for _, arm, _ in curves} == {"a"}
    assert curves["", "a", "validation.accuracy"].mean[-1] == pytest.approx(0.8)


def test_curves_cover_every_quantity(tmp_path):
    names = {quantity for _, _, quantity in _curves(tmp_path, seeds=1, examples=20)}
    splits = {
        f"{split}.{metric}" for split in ("train", "validation", "test") for metric in ("accuracy", "loss")
    }
    assert names == splits | {"rank", "effective_rank", "overlap", "lost", "gained", "failures"}
