"""The page of a single run as a browser shows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import DESK
from .run_reports import Page, made

PHONE = (375, 740)


@pytest.fixture
def shown(browser: Any) -> Iterator[Any]:
    """Opens a page; afterwards no script may have complained."""
    complaints, contexts = list[str](), list[Any]()

    def start(path: Path, size: tuple[int, int], *, scripts: bool = True) -> Any:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, java_script_enabled=scripts
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path.as_uri())
        return page

    yield start
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.mark.parametrize("name", ["quickstart", "prices"])
def test_run_page_draws_every_chart_and_never_scrolls_sideways(
    shown: Any, tables: Path, tmp_path: Path, name: str
) -> None:
    made(tables, "report", name, "--format", "html", "--out", str(tmp_path))
    charts = Page.read(tmp_path / "report.html").charts
    for size in (PHONE, DESK):
        page = shown(tmp_path / "report.html", size)
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        assert page.locator("#charts figcaption").all_inner_texts() == list(charts)
        assert page.locator("#charts path.curve").count() == sum(map(len, charts.values()))


def test_run_page_without_scripts_has_answer_samples_and_rounds(
    shown: Any, tables: Path, tmp_path: Path
) -> None:
    made(tables, "report", "quickstart", "--format", "html", "--out", str(tmp_path))
    page = shown(tmp_path / "report.html", DESK, scripts=False)
    assert page.locator(".lead").inner_text().startswith("From the base model")
    assert page.locator(".sample").count() == 3
    assert page.locator("#rounds tbody tr").count() == 3
    assert "Curves need JavaScript" in page.locator("#curves").inner_text()


def test_rounds_of_a_run_page_are_sorted_by_a_column(shown: Any, tables: Path, tmp_path: Path) -> None:
    made(tables, "report", "quickstart", "--format", "html", "--out", str(tmp_path))
    page = shown(tmp_path / "report.html", DESK)
    page.locator("#rounds thead button").first.click()
    assert page.locator("#rounds tbody th").all_inner_texts() == ["2", "1", "0"]
