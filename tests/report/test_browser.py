"""The page as a browser shows it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from .analysis_samples import SITUATIONS, sample

Opener = Callable[..., Any]
PHONE, DESK = (375, 740), (1280, 900)


def column(page: Any, title: str) -> list[str]:
    """The texts of a column of the main table, first lines only."""
    titles = page.locator("#main-table thead th").all_inner_texts()
    position = next(i for i, text in enumerate(titles) if text.strip().startswith(title)) + 1
    cells = page.locator(f"#main-table tbody tr > :nth-child({position})").all_inner_texts()
    return [text.strip().split("\n")[0] for text in cells]


def header(page: Any, title: str) -> Any:
    return page.locator("#main-table thead th").filter(has_text=title)


OFTEN = ("all failed", "hostile labels", "tuned in blocks")
RARELY = pytest.mark.slow(reason="a page in a browser for each; three that differ most are opened by default")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in OFTEN else RARELY) for name in sorted(SITUATIONS)]
)
def test_page_in_every_situation_never_scrolls_sideways(opened: Opener, name: str) -> None:
    page = opened(name, PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    page.set_viewport_size({"width": DESK[0], "height": DESK[1]})
    assert page.evaluate("document.documentElement.scrollWidth") <= DESK[0]
    assert page.locator("h1").first.is_visible()
    assert page.locator("#main-table").is_visible()


def test_cell_view_of_hostile_study_never_scrolls_sideways(opened: Opener) -> None:
    page = opened("hostile labels", PHONE, "#cell/abcdef000003")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    assert "loss is not finite" in page.locator(".cause").inner_text()


def test_page_shows_hostile_labels_literally(opened: Opener) -> None:
    page = opened("hostile labels")
    arms = set(column(page, "Arm"))
    assert "<script>alert('x')</script>" in arms
    assert "</script><!-- a & b" in arms
    assert page.locator("#legend button").all_inner_texts()[0] == "<script>alert('x')</script>"
    assert page.locator("script").count() == 2  # the data and ours


def test_pressed_header_sorts_rows_and_states_the_order(opened: Opener) -> None:
    page = opened()
    title = header(page, "Test accuracy")
    assert column(page, "Arm") == ["fixed", "random", "rotate"]
    title.locator("button").click()
    assert title.get_attribute("aria-sort") == "descending"
    assert column(page, "Arm") == ["rotate", "random", "fixed"]
    title.locator("button").press("Enter")
    assert title.get_attribute("aria-sort") == "ascending"
    assert column(page, "Arm") == ["fixed", "random", "rotate"]
    header(page, "Arm").locator("button").click()
    assert title.get_attribute("aria-sort") is None
    assert header(page, "Arm").get_attribute("aria-sort") == "ascending"


def test_rows_without_value_stay_last_in_both_directions(opened: Opener) -> None:
    page = opened()
    button = header(page, "Difference").locator("button")
    for expected in (["rotate", "random", "fixed"], ["random", "rotate", "fixed"]):
        button.click()
        assert column(page, "Arm") == expected  # the baseline has no difference


def chart_point(page: Any, chart: str, round_: int) -> tuple[float, float]:
    """Where a round lies on the page, by the marks of the first curve."""
    mark = page.locator(f"{chart} svg g").first.locator(".shape").nth(round_).bounding_box()
    return mark["x"] + mark["width"] / 2, mark["y"] + mark["height"] / 2


def test_hovered_curve_shows_the_values_of_that_round(opened: Opener) -> None:
    page = opened()
    curve = next(c for c in sample().curves if c.arm == "rotate" and c.quantity == "test.accuracy")
    page.locator("#main-chart").scroll_into_view_if_needed()
    page.mouse.move(*chart_point(page, "#main-chart", 8))
    tip = page.locator("#main-chart .tip")
    assert tip.is_visible()
    low, high = curve.low[8], curve.high[8]
    assert low is not None
    assert high is not None
    assert tip.locator("strong").inner_text() == "Round 8"
    expected = f"rotate\n{100 * curve.mean[8]:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
    assert tip.locator("div").first.inner_text() == expected  # the best stands first
    page.mouse.move(5, 5)
    assert not tip.is_visible()


def test_curve_can_be_read_by_keyboard(opened: Opener) -> None:
    page = opened()
    picture = page.locator("#main-chart svg[tabindex]")
    picture.press("End")
    assert page.locator("#main-chart .tip strong").inner_text() == "Round 16"
    picture.press("ArrowLeft")
    assert page.locator("#main-chart .tip strong").inner_text() == "Round 15"
    picture.press("Escape")
    assert not page.locator("#main-chart .tip").is_visible()


def drawn(page: Any) -> list[str]:
    return page.locator("#main-chart .curve").evaluate_all(
        "found => found.map(path => path.getAttribute('d'))"
    )


def test_choice_of_quantity_and_axis_changes_the_picture(opened: Opener) -> None:
    page = opened()
    first = drawn(page)
    assert page.locator("#main-chart figcaption").inner_text() == "Test accuracy, %"
    page.select_option("#quantity", "validation.loss")
    assert page.locator("#main-chart figcaption").inner_text() == "Validation loss, nats"
    second = drawn(page)
    page.select_option("#axis", "rank")
    third = drawn(page)
    assert len(first) == len(second) == len(third) == 3
    assert not set(first) & set(second)
    assert set(second) - set(third)  # `fixed` keeps its rank, so that its curve becomes upright
    page.locator("#main-chart svg[tabindex]").press("End")
    assert page.locator("#main-chart .tip strong").inner_text() == "Cumulative rank 64"


def test_choice_of_block_shows_its_curves(opened: Opener) -> None:
    page = opened("ten blocks")
    first = drawn(page)
    page.select_option("#block", label="angle 100°")
    assert not set(first) & set(drawn(page))


def test_pressed_legend_hides_an_arm(opened: Opener) -> None:
    page = opened()
    button = page.locator("#legend button").filter(has_text="random")
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert len(drawn(page)) == 2
    button.click()
    assert len(drawn(page)) == 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_contrasts_with_paper(opened: Opener, scheme: str) -> None:
    page = opened(scheme=scheme)
    colours = page.evaluate(
        """() => ["html", ".gloss", ".better", "a[href]"].map((name) => {
            const style = getComputedStyle(document.querySelector(name));
            return style.color;
        }).concat(getComputedStyle(document.documentElement).backgroundColor)"""
    )
    *inks, paper = [luminance(colour) for colour in colours]
    assert (paper > 0.5) == (scheme == "light")
    for ink in inks:
        ratio = (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05)
        assert ratio >= 4.5  # WCAG 2.2, level AA


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.2."""
    channels = [int(value) / 255 for value in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_page_without_scripts_shows_its_content(opened: Opener) -> None:
    page = opened(scripts=False)
    assert column(page, "Test accuracy")[1] == "58.1"
    assert page.locator("#differences .line .shape").count() == 2
    assert page.locator("noscript").is_visible()


def test_numbers_in_scripts_are_formatted_as_in_tables(opened: Opener) -> None:
    page = opened(anchor="#cell/abcdef00000a")
    json_for_script = json.loads(page.locator("#data").text_content())
    last = [values[-1] for values in json_for_script["cells"][10]["rounds"]]
    keys = [column["key"] for column in json_for_script["columns"]]
    shown = page.locator("#cell tbody tr").last.locator("th, td").all_inner_texts()
    found = dict(zip(keys, shown, strict=True))
    assert found["test.accuracy"] == f"{100 * last[keys.index('test.accuracy')]:.1f}"
    assert found["test.loss"] == f"{last[keys.index('test.loss')]:.3f}"
    assert found["rank"] == "64"
    assert found["overlap"] == "2e−14"  # noqa: RUF001 - a minus
    assert found["memory_bytes"] == "286"
