import json

import attrs
import pytest

from boostlora.engine.analysis.analyse import analyse
from boostlora.engine.analysis.summary import summary
from boostlora.engine.analysis.table import DROPPED, table, table_lines

from .synthetic_study import make_study


@pytest.fixture
def analysis(tmp_path):
    study = make_study(
        tmp_path,
        seeds=3,
        blocks=("90", "45"),
        tunings={0.1: 0, 0.3: -0.1},
        examples=50,
        failed=lambda cell: cell.seed == 2 and cell.arm == "b",
    )
    return analyse(tmp_path, study)


def test_table_has_a_heading_a_block_and_a_line_an_arm(analysis):
    found = table(analysis)
    assert [block.heading for block in found.blocks] == ["90", "45"]
    assert found.columns == (
        "arm",
        "tuned",
        "seeds",
        "rounds",
        "test accuracy (%)",
        "difference (points)",
        "relative",
        "p (Holm)",
        "verdict",
    )
    first, second = found.blocks[0].rows
    assert (first[0], first[1], first[2], first[-1]) == ("a", "lr=0.1", "3", "baseline")
    assert (second[0], second[2], second[-1]) == ("b", "2 of 3", "too few seeds")
    assert second[5].startswith("+")


def test_table_of_a_plain_study_leaves_empty_columns_out(tmp_path):
    found = table(analyse(tmp_path, make_study(tmp_path, seeds=2, examples=20, baseline=None)))
    assert found.columns == ("arm", "seeds", "rounds", "test accuracy (%)")
    assert [block.heading for block in found.blocks] == [""]


def test_table_of_losses_is_in_nats(tmp_path):
    found = table(analyse(tmp_path, make_study(tmp_path, seeds=2, examples=20, metric="loss")))
    assert {"test loss (nats)", "difference (nats)"} <= set(found.columns)


@pytest.mark.parametrize("width", [200, 100, 80, 60])
def test_table_lines_drop_columns_until_they_fit(analysis, width):
    lines = table_lines(analysis, width)
    titles = lines[0]
    kept = [column for column in DROPPED if column in titles]
    assert kept == list(DROPPED[len(DROPPED) - len(kept) :])
    assert all(column in titles for column in ("arm", "difference", "verdict"))
    assert max(map(len, lines)) <= width or not kept
    assert len(lines) == 1 + 2 * 3
    assert "too few seeds" in lines[3]


def test_summary_is_json_with_the_documented_keys(analysis):
    content = summary(analysis)
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert set(content) == {"study", "rows", "candidates", "cells", "notes"}
    assert content["study"]["seeds"] == [0, 1, 2]
    assert content["study"]["arms"] == ["a", "b"]
    row = content["rows"][1]
    assert set(row) == {
        "arm", "block", "is_baseline", "values", "tuned", "seeds", "missing", "cells", "metrics", "comparison",
    }  # fmt: skip
    assert set(row["metrics"]["test.accuracy"]) == {"mean", "low", "high", "values"}
    assert set(row["comparison"]) == {
        "seeds", "difference", "relative", "wins", "p", "p_holm", "smallest_p", "examples", "verdict", "words",
    }  # fmt: skip
    assert set(row["comparison"]["examples"]) == {
        "only_arm", "only_baseline", "both", "neither", "p", "test", "low", "high",
    }  # fmt: skip
    assert content["rows"][0]["comparison"] is None
    assert set(content["candidates"][0]) == {"arm", "block", "tuning", "validation", "seeds", "chosen"}
    assert set(content["candidates"][0]["validation"]) == {"mean", "low", "high", "values"}
    failed = [cell for cell in content["cells"] if cell["status"] == "failed"]
    assert len(failed) == 4
    assert failed[0]["cause"] == "round 1 was refused: loss is not finite"
    assert set(failed[0]) == {
        "key", "arm", "block", "seed", "tuning", "folder", "status", "rounds", "ended", "cause", "selected",
    }  # fmt: skip


def test_summary_has_null_for_non_finite_numbers(analysis):
    row = analysis.rows[0]
    loss = attrs.evolve(row.metrics["test.loss"], mean=float("inf"), values=(float("nan"), 1.0, 2.0))
    row = attrs.evolve(row, metrics={"test.loss": loss})
    found = summary(attrs.evolve(analysis, rows=(row,)))["rows"][0]["metrics"]["test.loss"]
    assert (found["mean"], found["values"]) == (None, [None, 1.0, 2.0])


def test_notes_name_failed_cells_with_their_cause(analysis):
    assert analysis.notes[0] == "4 of 24 cells failed and are left out everywhere"
    assert analysis.notes[1].startswith("failed: b · 90 · lr=0.1 · seed 2, ")
    assert analysis.notes[1].endswith(": round 1 was refused: loss is not finite")


def test_notes_name_unfinished_cells(tmp_path):
    study = make_study(tmp_path, seeds=2, examples=20, pending=lambda cell: cell.seed == 1)
    notes = analyse(tmp_path, study).notes
    assert notes[0].startswith("2 of 4 cells are not finished (2 pending)")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"split": "train"}, "not generalisation"),
        ({"split": "validation", "at": "best"}, "the results are optimistic"),
        ({"at": "best"}, "best on validation"),
        ({"seeds": 3}, "3 seeds cannot bring p below 0.25 for 1 comparison"),
        ({"seeds": 3}, "6 seeds could bring it to 0.05 or less"),
        (
            {"seeds": 3},
            "intervals over fewer than 10 seeds are too narrow (with 5 seeds, for example, a nominal 95 % interval covers",
        ),
    ],
)
def test_notes_warn_of_questions_the_study_cannot_answer(tmp_path, options, words):
    study = make_study(tmp_path, **{"seeds": 2, "examples": 20, **options})
    assert any(words in note for note in analyse(tmp_path, study).notes)


def test_analysis_of_an_unstarted_study_has_rows_without_values(tmp_path):
    study = make_study(tmp_path, seeds=2, pending=lambda _: True)
    analysis = analyse(tmp_path, study)
    assert [(row.seeds, row.metrics, row.comparison) for row in analysis.rows] == [((), {}, None)] * 2
    assert analysis.curves == ()
    assert table(analysis).columns == ("arm", "seeds", "verdict")
    assert json.dumps(summary(analysis), allow_nan=False)
