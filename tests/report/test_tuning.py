"""The tuning table of a report."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.engine import report
from boostlora.engine.report.page import html
from boostlora.engine.report.quantities import no_break
from boostlora.engine.report.tables import CHOSEN, tuning_table

from .analysis_samples import SITUATIONS, sample


def test_study_without_tuning_has_no_tuning_table_or_section() -> None:
    assert tuning_table(sample()) is None
    assert 'id="tuning"' not in html(sample())


def test_tuning_table_has_every_candidate_and_no_test_metric() -> None:
    analysis = sample(tuned=(0.01, 0.1), seeds=(0, 1, 2))
    table = tuning_table(analysis)
    assert table is not None
    titles = [column.title.replace("\N{NO-BREAK SPACE}", " ") for column in table.columns]
    assert titles == ["Arm", "Candidate", "Seeds", "Validation accuracy, %", "Chosen"]
    assert [(row[0].text, row[1].text, row[4].text) for row in table.rows] == [
        (arm, f"lr = {lr}", CHOSEN if lr == 0.1 else "")
        for arm in ("fixed", "random", "rotate")
        for lr in (0.01, 0.1)
    ]
    estimate = analysis.candidates[1].validation
    assert estimate is not None
    assert table.rows[1][3].sort == estimate.mean
    assert table.rows[1][3].text == f"{100 * estimate.mean:.1f}"
    assert table.rows[1][3].detail == f"[{100 * (estimate.low or 0):.1f}, {100 * (estimate.high or 0):.1f}]"


def test_tuning_table_of_several_blocks_names_them_and_of_a_loss_is_in_nats() -> None:
    table = tuning_table(sample(tuned=(0.1,), blocks=("x", "y"), metric="loss"))
    assert table is not None
    assert [column.key for column in table.columns][:2] == ["block", "arm"]
    assert [row[0].text for row in table.rows] == ["x"] * 3 + ["y"] * 3
    assert table.columns[4].title == "Validation loss,\N{NO-BREAK SPACE}nats"


def test_candidate_without_a_finished_seed_has_a_dash_that_sorts_last() -> None:
    analysis = sample(tuned=(0.01, 0.1))
    waiting = attrs.evolve(analysis.candidates[0], seeds=(), validation=None)
    table = tuning_table(attrs.evolve(analysis, candidates=(waiting, *analysis.candidates[1:])))
    assert table is not None
    _, _, seeds, judged, _ = table.rows[0]
    assert (seeds.text, seeds.title, judged.text, judged.sort) == ("0", "no seed has finished", "–", None)  # noqa: RUF001


@pytest.mark.parametrize(
    ("apart", "kept"),
    [
        ("its 95 % interval", "its 95_% interval"),
        ("+4.1 points, p = 0.03 after", "+4.1_points, p_=_0.03 after"),
        ("p < 0.001", "p_<_0.001"),
        ("1 point, 0.8 nats, 12 s", "1_point, 0.8_nats, 12_s"),
        ("3 seeds cannot, 5 pointers", "3 seeds cannot, 5 pointers"),
        ("map = 3", "map = 3"),
    ],
)
def test_numbers_stay_with_their_units(apart: str, kept: str) -> None:
    assert no_break(apart) == kept.replace("_", "\N{NO-BREAK SPACE}")


@given(text=st.text(max_size=40))
def test_non_breaking_text_changes_only_spaces(text: str) -> None:
    assert no_break(text).replace("\N{NO-BREAK SPACE}", " ") == text.replace("\N{NO-BREAK SPACE}", " ")


def test_page_shows_confidence_and_points_without_a_line_break() -> None:
    page = html(sample())
    assert "95\N{NO-BREAK SPACE}% BCa" in page
    assert "95\N{NO-BREAK SPACE}% interval" in page
    assert "95 %" not in page
    assert "+10.8\N{NO-BREAK SPACE}points" in page


def test_page_counts_its_cells_in_their_heading() -> None:
    assert "<h2>15 cells</h2>" in html(sample())
    assert "<h2>1 cell</h2>" in html(sample(**SITUATIONS["one arm"] | {"seeds": (0,)}))


def test_marks_of_script_and_of_pictures_are_the_same_and_all_different() -> None:
    templates = Path(report.__file__).parent / "templates"
    found = [
        [
            part
            for part in (templates / name).read_text(encoding="utf-8").split('"')
            if part[:1] == "M" and part[-1:] == "Z"
        ]
        for name in ("dom.js", "pictures.html")
    ]
    assert found[0] == found[1]
    assert len(set(found[0])) == 7  # with six colours, 42 arms differ
