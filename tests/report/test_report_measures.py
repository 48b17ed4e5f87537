"""A study that is compared by a measure of its task, in every format, and in a browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from boostlora.engine.analysis.model import Analysis
from boostlora.engine.contracts import Metrics
from boostlora.engine.contracts.records import RoundRecord
from boostlora.engine.report import write_report
from boostlora.engine.report.payload import payload
from boostlora.engine.report.quantities import in_sentence, quantity, title_with_unit
from boostlora.engine.report.tables import main_table

from .analysis_samples import sample
from .sample_records import estimate

SPLITS = ("train", "validation", "test")


def ranked(metrics: Metrics) -> Metrics:
    measures = {
        "auroc": 0.5 + metrics.accuracy / 2,
        "mcc": metrics.accuracy - 0.5,
        "pass_4": metrics.accuracy,
    }
    return attrs.evolve(metrics, measures=measures)


def measured_record(record: RoundRecord) -> RoundRecord:
    return attrs.evolve(record, **{split: ranked(getattr(record, split)) for split in SPLITS})


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    """The plain study, with measures in its records, rows and curves."""
    plain = sample()
    cells = tuple(attrs.evolve(v, records=tuple(map(measured_record, v.records))) for v in plain.cells)
    last = {view.state.cell.key: view.records[-1] for view in cells}
    rows = [
        attrs.evolve(
            row,
            metrics=row.metrics
            | {
                f"{split}.{name}": estimate([getattr(last[key], split).measures[name] for key in row.cells])
                for split in SPLITS
                for name in ("auroc", "mcc", "pass_4")
            },
        )
        for row in plain.rows
    ]
    curves = [attrs.evolve(c, quantity="test.auroc") for c in plain.curves if c.quantity == "test.accuracy"]
    return attrs.evolve(
        plain,
        study=attrs.evolve(plain.study, metric="auroc"),
        cells=cells,
        rows=tuple(rows),
        curves=(*plain.curves, *curves),
    )


def test_main_table_compares_by_the_measure_and_shows_the_others(analysis: Analysis) -> None:
    titles = {column.key: column.title for column in main_table(analysis).columns}
    assert titles["metric"] == "Test AUROC"
    assert titles["difference"] == "Difference"
    keys = list(titles)
    start = keys.index("test.accuracy")
    assert keys[start : start + 4] == ["test.accuracy", "test.mcc", "test.pass_4", "parameters"]
    assert titles["test.pass_4"] == title_with_unit("test.pass_4") == "Test pass@4,\N{NO-BREAK SPACE}%"
    assert "test.loss" not in keys


def test_measures_have_titles_and_keep_their_capitals_within_sentences() -> None:
    assert quantity("validation.auprc").title == "Validation AUPRC"
    assert quantity("train.timed_out").title == "Training timed out"
    assert quantity("base.test.auroc").title == "Test AUROC before"
    assert in_sentence("test.auroc") == "test AUROC"
    assert in_sentence("test.accuracy") == "test accuracy"


def test_payload_has_measures_as_columns_and_quantities(analysis: Analysis) -> None:
    found = payload(analysis)
    columns = {column["key"]: column for column in found["columns"]}
    wanted = [f"{split}.{name}" for split in SPLITS for name in ("auroc", "mcc", "pass_4")]
    assert [key for key in columns if key in wanted] == wanted
    assert [columns[key]["form"] for key in ("test.auroc", "test.pass_4")] == ["measure", "share"]
    assert found["study"]["metric"] == "test.auroc"
    assert found["quantities"]["test.auroc"]["form"] == "measure"
    place = list(columns).index("test.auroc")
    assert found["cells"][0]["rounds"][place][-1] == pytest.approx(
        analysis.cells[0].records[-1].test.measures["auroc"], rel=1e-4
    )


def test_payload_of_a_task_without_measures_has_no_extra_columns() -> None:
    found = payload(sample())
    assert len(found["columns"]) == len(found["cells"][0]["rounds"]) == 21


def test_every_format_is_written_with_the_measure(analysis: Analysis, tmp_path: Path) -> None:
    written = write_report(analysis, tmp_path, ["html", "md", "tex", "csv", "svg"])
    html, markdown, tex = (written[name].read_text() for name in ("report.html", "report.md", "table.tex"))
    assert "Test AUROC" in html
    assert "Difference in test AUROC from fixed</p>" in html
    assert "By test AUROC, both arms" in markdown
    assert "the test AUROC after the last round" in markdown
    assert "Test AUROC" in tex
    assert "test.auroc" in written["results.csv"].read_text().splitlines()[0]
    assert "test.mcc" in written["rounds.csv"].read_text().splitlines()[0]
    assert written["differences.svg"].stat().st_size > 1000


def test_page_in_a_browser_draws_the_measure(browser: Any, analysis: Analysis, tmp_path: Path) -> None:
    path = write_report(analysis, tmp_path, ["html"])["report.html"]
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(path.as_uri())
    assert page.locator("#quantity").input_value() == "test.auroc"
    assert page.locator("#main-chart").inner_text().startswith("Test AUROC")
    assert page.locator("#cells thead th").last.inner_text() == "Test AUROC"
    shown = page.locator("#cells tbody tr").first.locator("td").last.inner_text()
    assert shown == f"{analysis.cells[0].records[-1].test.measures['auroc']:.3f}"
    page.set_viewport_size({"width": 375, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    page.goto(f"{path.as_uri()}#cell/{analysis.cells[0].state.cell.key}")
    titles = page.locator(".own-charts .chart").all_inner_texts()
    assert [title.splitlines()[0] for title in titles] == ["Accuracy, %", "Loss, nats", "AUROC"]
    head = page.locator("#cell table thead th").all_inner_texts()
    assert "Validation MCC" in head
    assert json.dumps(complaints) == "[]"
    page.close()
