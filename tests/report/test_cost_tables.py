"""The cost table in the documents of a report."""

from __future__ import annotations

import attrs
import pytest

from boostlora.engine.analysis.model import Analysis
from boostlora.engine.report import sheets
from boostlora.engine.report.markdown import markdown
from boostlora.engine.report.page import html
from boostlora.engine.report.tables import cost_table

from .analysis_samples import sample


def titles_of(analysis: Analysis) -> list[str]:
    table = cost_table(analysis)
    assert table is not None
    return [column.title.replace("\N{NO-BREAK SPACE}", " ") for column in table.columns]


def with_stored(analysis: Analysis, stored: int) -> Analysis:
    """The same, with every round's stored numbers."""
    cells = tuple(
        attrs.evolve(view, records=tuple(attrs.evolve(r, stored=stored) for r in view.records))
        for view in analysis.cells
    )
    return attrs.evolve(analysis, cells=cells)


def test_cost_table_has_every_known_quantity_and_names_several_blocks() -> None:
    known = ["Rounds", "Trained parameters", "Lost, %", "Gained, %", "Time, s"]
    assert titles_of(sample()) == ["Arm", *known]
    assert titles_of(sample(blocks=("x", "y"))) == ["Block", "Arm", *known]


def test_cost_table_has_the_means_of_the_rows() -> None:
    analysis = sample()
    table = cost_table(analysis)
    assert table is not None
    place = [column.key for column in table.columns].index("parameters")
    assert [row[place].text for row in table.rows] == ["256"] * 3
    place = [column.key for column in table.columns].index("lost")
    assert [row[place].sort for row in table.rows] == [row.metrics["lost"].mean for row in analysis.rows]


def test_cost_of_a_study_without_values_has_no_table_or_section() -> None:
    empty = sample(pending=frozenset(range(15)))
    assert cost_table(empty) is None
    assert "## Cost" not in markdown(empty)
    assert 'id="cost"' not in html(empty)


def test_markdown_and_page_show_the_cost() -> None:
    assert "## Cost" in markdown(sample())
    page = html(sample())
    assert '<section id="cost">' in page
    assert "Trained parameters" in page


def test_sheets_have_steps_examples_and_stored_parameters_of_counted_rounds() -> None:
    frame = sheets.results(with_stored(sample(), 100))
    assert (frame["stored"][0], frame["parameters"][0], frame["steps"][0]) == (1600, 256, 640)
    rounds = sheets.rounds(sample())
    assert list(rounds["stored"][:2]) == [0, 16]


def test_sheets_share_of_lost_examples_is_over_all_rounds() -> None:
    view = sample().cells[0]
    played = view.records[1:]
    right = sum(record.train.count - record.failures for record in played)
    expected = sum(record.lost for record in played) / right
    assert sheets.results(sample())["lost"][0] == pytest.approx(expected)
