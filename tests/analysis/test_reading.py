import json
import shutil

import pytest

from boostlora.engine.analysis.analyse import analyse
from boostlora.engine.analysis.run_reader import read_cells
from boostlora.engine.foundation.sealed import read_sealed, write_sealed

from .synthetic_study import make_study


def _folder(runs, study, arm, seed):
    return runs / next(c.folder for c in study.cells if (c.arm, c.seed) == (arm, seed))


def _state(analysis, arm, seed):
    return next(v.state for v in analysis.cells if (v.state.cell.arm, v.state.cell.seed) == (arm, seed))


def test_cells_of_a_finished_study_are_read_completely(tmp_path):
    study = make_study(tmp_path, seeds=2)
    found = read_cells(tmp_path, study)
    assert [reading.cell for reading in found] == list(study.cells)
    assert all(reading.finished and reading.counted == 4 and len(reading.records) == 5 for reading in found)
    assert found[0].spec["optimizer"]["steps"] == 40
    assert found[0].provenance["seed"] == 0
    assert found[0].result["status"] == "completed"


def test_cells_counted_at_the_best_round_are_read_at_it(tmp_path):
    study = make_study(tmp_path, seeds=2, peaks={"a": 2}, at="best", spread=0)
    assert [reading.counted for reading in read_cells(tmp_path, study)] == [2, 2, 4, 4]


def test_pending_cell_is_empty_and_stays_pending(tmp_path):
    study = make_study(tmp_path, seeds=2, pending=lambda cell: cell.seed == 1)
    pending = [reading for reading in read_cells(tmp_path, study) if reading.cell.seed == 1]
    assert [(r.state.status, r.records, r.result) for r in pending] == [("pending", (), None)] * 2


def test_failed_cell_keeps_its_cause(tmp_path):
    study = make_study(tmp_path, seeds=2, failed=lambda cell: cell.arm == "b" and cell.seed == 1)
    state = _state(analyse(tmp_path, study), "b", 1)
    assert (state.status, state.cause) == ("failed", "round 1 was refused: loss is not finite")


def test_excluded_cell_is_shown_but_not_counted(tmp_path):
    study = make_study(tmp_path, seeds=3)
    study = make_study(tmp_path / "again", seeds=3, excluded=(study.cells[0].key,))
    analysis = analyse(tmp_path / "again", study)
    assert _state(analysis, "a", 0).status == "excluded"
    assert analysis.rows[0].seeds == (1, 2)
    assert analysis.rows[1].comparison.seeds == (1, 2)
    assert any("excluded by hand: a · seed 0" in note for note in analysis.notes)


def _cut(path, keep):
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:keep]))


def _rounds_altered(folder):
    path = folder / "rounds.jsonl"
    path.write_text(path.read_text().replace('"parameters": 16', '"parameters": 17', 1))


def _best_round(folder):
    content = read_sealed(folder / "result.json", ())
    write_sealed(folder / "result.json", {**content, "best_round": 99})


def _unsealed(folder):
    content = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps({**content, "best_round": 3}))


DAMAGES = {
    "rounds altered": (_rounds_altered, "does not match its content"),
    "rounds cut": (lambda folder: _cut(folder / "rounds.jsonl", 3), "with another digest"),
    "rounds gone": (lambda folder: (folder / "rounds.jsonl").unlink(), "missing"),
    "rounds not text": (lambda folder: (folder / "rounds.jsonl").write_bytes(b"\xff\n"), "damaged"),
    "spec gone": (lambda folder: (folder / "spec.toml").unlink(), "not a run"),
    "spec not TOML": (lambda folder: (folder / "spec.toml").write_text("= ="), ""),
    "provenance not JSON": (lambda folder: (folder / "provenance.json").write_text("{"), "damaged"),
    "outcomes altered": (lambda folder: (folder / "outcomes/0004.safetensors").write_bytes(b"x"), "altered"),
    "outcomes gone": (lambda folder: shutil.rmtree(folder / "outcomes"), "cannot be read"),
    "best round out of range": (_best_round, "best_round is 99"),
    "best round edited": (_unsealed, "its seal does not match"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_cell_counts_as_failed_with_its_cause(tmp_path, damage):
    study = make_study(tmp_path, seeds=3, examples=50, at="best" if damage.startswith("best") else "last")
    harm, words = DAMAGES[damage]
    harm(_folder(tmp_path, study, "b", 1))
    analysis = analyse(tmp_path, study)
    state = _state(analysis, "b", 1)
    assert state.status == "failed"
    assert words in state.cause
    assert state.cause
    row = analysis.rows[1]
    assert (row.seeds, row.missing) == ((0, 2), (1,))
    assert row.comparison.seeds == (0, 2)
    assert "1 of 6 cells failed and are left out everywhere" in analysis.notes


def test_cell_with_a_damaged_result_counts_as_failed(tmp_path):
    study = make_study(tmp_path, seeds=2, examples=50)
    (_folder(tmp_path, study, "a", 0) / "result.json").write_text("not JSON")
    state = _state(analyse(tmp_path, study), "a", 0)
    assert (state.status, "damaged" in state.cause) == ("failed", True)


def test_outcomes_of_other_rounds_are_not_read(tmp_path):
    study = make_study(tmp_path, seeds=2, examples=50)
    before = analyse(tmp_path, study).rows
    for number in range(4):
        (_folder(tmp_path, study, "b", 1) / f"outcomes/{number:04d}.safetensors").unlink()
    assert analyse(tmp_path, study).rows == before
