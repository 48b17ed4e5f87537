"""Secondary and large tables in a browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.slow(
    reason="a page in a browser for every test; what the default suite opens is in test_browser"
)

Opener = Callable[..., Any]


def lines_of(page: Any, selector: str) -> list[int]:
    """On how many lines the links of each element stand."""
    return page.locator(selector).evaluate_all(
        "found => found.map(node => new Set([...node.querySelectorAll('a')].map(link => link.offsetTop)).size)"
    )


def test_tuning_shows_every_candidate_and_marks_the_chosen(opened: Opener) -> None:
    page = opened("tuned")
    rows = page.locator("#tuning tbody tr")
    assert rows.count() == 6
    assert page.locator("#tuning tr.chosen").count() == 3
    assert page.locator("#tuning tr.chosen td:nth-child(2)").all_inner_texts() == ["lr = 0.1"] * 3
    page.locator("#tuning th button").filter(has_text="Validation").click()
    assert rows.first.locator("td").first.inner_text() == "rotate"
    page.locator("#tuning th button").filter(has_text="Chosen").click()
    chosen = page.locator("#tuning tbody td:last-child").all_inner_texts()
    assert [bool(text.strip()) for text in chosen] == [True] * 3 + [False] * 3


def test_study_without_tuning_has_no_such_section(opened: Opener) -> None:
    assert opened("plain").locator("#tuning").count() == 0


def test_curves_against_optimiser_steps(opened: Opener) -> None:
    page = opened()
    page.select_option("#axis", label="Optimiser steps")
    page.locator("#main-chart svg[tabindex]").press("End")
    assert page.locator("#main-chart .tip strong").inner_text() == "Optimiser steps 640"


def test_links_of_eight_seeds_fit_on_one_line_of_the_table(opened: Opener) -> None:
    page = opened("tuned in blocks")
    assert set(lines_of(page, "#main-table .links")) == {1}
    box = page.locator("#results .scroll")
    assert box.evaluate("node => node.scrollWidth <= node.clientWidth")


def test_long_list_of_cells_shows_its_count_and_that_it_scrolls(opened: Opener) -> None:
    page = opened("tuned in blocks")
    assert page.locator("#cells h2").inner_text() == "384 cells"
    box = page.locator("#cells .scroll")
    assert box.evaluate("node => node.scrollHeight > node.clientHeight")
    assert box.evaluate("node => getComputedStyle(node).backgroundImage").count("gradient") == 4


def test_short_list_of_cells_has_its_full_height(opened: Opener) -> None:
    box = opened("plain").locator("#cells .scroll")
    assert box.evaluate("node => node.scrollHeight === node.clientHeight")


def test_legend_of_marks_names_too_few_seeds(opened: Opener) -> None:
    page = opened("one seed")
    assert "too few seeds (or only one)" in page.locator("#main-table caption").inner_text()
