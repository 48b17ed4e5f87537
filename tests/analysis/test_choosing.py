import shutil

from boostlora.engine.analysis.analyse import analyse

from .synthetic_study import TUNED, make_study


def test_chosen_tuning_is_the_best_on_validation_regardless_of_the_test_split(tmp_path):
    study = make_study(tmp_path, tunings={0.1: -0.1, 0.3: 0.0}, test_shift={0.1: 0.3}, seeds=3, examples=100)
    analysis = analyse(tmp_path, study)
    assert [row.tuned for row in analysis.rows] == [{TUNED: 0.3}] * 2
    selected = {view.state.cell.tuning[TUNED] for view in analysis.cells if view.selected}
    assert selected == {0.3}
    assert sum(view.selected for view in analysis.cells) == 6
    assert set(analysis.rows[0].cells) == {
        c.key for c in study.cells if c.arm == "a" and c.tuning[TUNED] == 0.3
    }


def test_chosen_on_ties_is_the_earliest(tmp_path):
    study = make_study(tmp_path, tunings=(0.3, 0.1, 0.2), seeds=2, examples=50)
    assert [row.tuned for row in analyse(tmp_path, study).rows] == [{TUNED: 0.3}] * 2


def test_chosen_by_loss_is_the_tuning_with_the_lowest(tmp_path):
    study = make_study(tmp_path, tunings={0.1: -0.1, 0.3: 0.0}, seeds=2, examples=50, metric="loss")
    assert analyse(tmp_path, study).rows[0].tuned == {TUNED: 0.3}


def test_tuning_is_chosen_separately_for_each_block(tmp_path):
    study = make_study(tmp_path, tunings={0.1: -0.1, 0.3: 0.0}, blocks=("90", "45"), seeds=2, examples=50)
    for cell in study.cells:
        if cell.block == "45" and cell.arm == "b" and cell.tuning[TUNED] == 0.3:
            shutil.rmtree(tmp_path / cell.folder)
    rows = {(row.block, row.arm): row for row in analyse(tmp_path, study).rows}
    assert rows["45", "b"].tuned == {TUNED: 0.1}
    assert rows["45", "a"].tuned == rows["90", "b"].tuned == {TUNED: 0.3}


def test_tuning_is_chosen_over_seeds_finished_by_all_tunings(tmp_path):
    # Only an unlucky seed has finished 0.3: better than 0.1 there, but worse than the mean of 0.1 over all its seeds.
    study = make_study(
        tmp_path,
        arms={"a": 0.7},
        tunings={0.1: 0.0, 0.3: 0.02},
        seeds=4,
        spread=0.1,
        examples=200,
        pending=lambda cell: cell.tuning[TUNED] == 0.3 and cell.seed != 1,
    )
    analysis = analyse(tmp_path, study)
    own = {
        value: [
            v.records[-1].validation.accuracy
            for v in analysis.cells
            if v.records and v.state.cell.tuning[TUNED] == value
        ]
        for value in (0.1, 0.3)
    }
    assert own[0.3][0] > own[0.1][1]  # in the seed they share
    assert sum(own[0.1]) / 4 > own[0.3][0]  # though not against the mean of all seeds
    row = analysis.rows[0]
    assert (row.tuned, row.seeds, row.missing) == ({TUNED: 0.3}, (1,), (0, 2, 3))
    assert "a: chosen over 1 of 4 seeds, those that all tunings have finished" in analysis.notes


def test_tuning_without_finished_cells_is_excluded_with_a_note(tmp_path):
    study = make_study(
        tmp_path, tunings={0.1: 0.0, 9.0: 0.1}, seeds=2, examples=50, failed=lambda c: c.tuning[TUNED] == 9.0
    )
    analysis = analyse(tmp_path, study)
    assert [row.tuned for row in analysis.rows] == [{TUNED: 0.1}] * 2
    assert "a: 1 of 2 tunings finished no seed" in analysis.notes
    assert any(
        note.startswith("lr of each arm chosen by mean validation accuracy") for note in analysis.notes
    )


def test_tunings_without_common_seeds_use_their_own_with_a_note(tmp_path):
    study = make_study(
        tmp_path,
        tunings={0.1: 0.0, 0.3: 0.2},
        seeds=2,
        examples=50,
        pending=lambda c: (c.tuning[TUNED] == 0.1) == (c.seed == 0),
    )
    analysis = analyse(tmp_path, study)
    assert [row.tuned for row in analysis.rows] == [{TUNED: 0.3}] * 2
    assert any("share no seed" in note for note in analysis.notes)


def test_tuning_is_chosen_again_when_outcomes_of_chosen_cells_are_damaged(tmp_path):
    study = make_study(tmp_path, tunings={0.1: 0.0, 0.3: 0.1}, seeds=1, examples=50)
    best = next(c for c in study.cells if c.arm == "b" and c.tuning[TUNED] == 0.3)
    (tmp_path / best.folder / "outcomes/0004.safetensors").write_bytes(b"")
    row = analyse(tmp_path, study).rows[1]
    assert row.tuned == {TUNED: 0.1}
    assert row.comparison is not None
