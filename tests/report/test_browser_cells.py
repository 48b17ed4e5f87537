"""A cell's own view, as a browser shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.slow(
    reason="a page in a browser for every test; what the default suite opens is in test_browser"
)

Opener = Callable[..., Any]


def test_cell_opened_by_keyboard_closes_by_escape_and_restores_focus(opened: Opener) -> None:
    page = opened()
    link = page.locator("#main-table a[href='#cell/abcdef000006']")
    link.press("Enter")
    heading = page.locator("#cell h1")
    assert heading.inner_text() == "random · seed 1"
    assert heading.evaluate("node => node === document.activeElement")
    assert not page.locator("#study").is_visible()
    page.keyboard.press("Escape")
    page.wait_for_selector("#study", state="visible")
    assert link.evaluate("node => node === document.activeElement")


def test_cell_closes_by_back_button_also_after_steps_to_its_neighbours(opened: Opener) -> None:
    page = opened()
    page.locator("#cells a[href='#cell/abcdef000006']").click()
    page.locator("#cell .steps a").last.click()
    assert page.locator("#cell h1").inner_text() == "random · seed 2"
    page.go_back()
    page.wait_for_selector("#study", state="visible")
    page.go_forward()
    page.wait_for_selector("#cell h1")


def test_cell_view_shows_spec_provenance_and_rounds(opened: Opener) -> None:
    page = opened("tuned", anchor="#cell/abcdef000000")
    view = page.locator("#cell")
    pairs = dict(zip(view.locator("dt").all_inner_texts(), view.locator("dd").all_inner_texts(), strict=True))
    assert pairs["optimizer.lr"] == "0.01"
    assert pairs["basis.use"] == "fixed"
    assert pairs["folder"] == "runs/bases/abcdef000000"
    assert pairs["versions.numpy"] == "2.1.0"
    assert "a tuning that was not chosen" in view.inner_text()
    assert view.locator("tbody tr").count() == 17
    view.locator(".back").click()
    page.wait_for_selector("#study", state="visible")


def test_failed_cell_shows_its_cause(opened: Opener) -> None:
    page = opened("failed cells", anchor="#cell/abcdef000001")
    assert page.locator("#cell .status").inner_text() == "failed"
    assert page.locator("#cell .cause").inner_text() == "round 3: loss is not finite at fixed"


def test_pending_cell_shows_no_results(opened: Opener) -> None:
    page = opened("failed cells", anchor="#cell/abcdef000004")
    assert "No round has finished." in page.locator("#cell").inner_text()
    assert "Not written yet." in page.locator("#cell").inner_text()
