"""The page as a browser shows it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from analysis_samples import SITUATIONS, sample

from boostlora.engine.report import write_report

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
PROGRAM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="neither chromium nor google-chrome is installed")

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PHONE, DESK = (375, 740), (1280, 900)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=PROGRAM, args=list(ARGUMENTS))
        yield found
        found.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The page of a situation, written once."""
    written: dict[str, Path] = {}

    def page(name: str) -> Path:
        if name not in written:
            folder = tmp_path_factory.mktemp("report")
            written[name] = write_report(sample(**SITUATIONS[name]), folder, ["html"])["report.html"]
        return written[name]

    return page


Opener = Callable[..., Any]


@pytest.fixture
def opened(browser: Any, reports: Callable[[str], Path]) -> Iterator[Opener]:
    """Opens a situation's page; afterwards nothing may have been complained of or asked from a network."""
    complaints: list[str] = []
    requests: list[str] = []
    contexts: list[Any] = []

    def start(
        name: str = "plain",
        size: tuple[int, int] = DESK,
        anchor: str = "",
        scheme: str = "light",
        scripts: bool = True,
    ) -> Any:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, java_script_enabled=scripts
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(reports(name).as_uri() + anchor)
        return page

    yield start
    for context in contexts:
        context.close()
    assert complaints == []
    assert {url.partition("#")[0].rpartition(".")[2] for url in requests if not url.startswith("data:")} == {
        "html"
    }
    assert all(url.startswith(("file:", "data:")) for url in requests)


def column(page: Any, title: str) -> list[str]:
    """The texts of a column of the main table, first lines only."""
    titles = page.locator("#main-table thead th").all_inner_texts()
    position = next(i for i, text in enumerate(titles) if text.strip().startswith(title)) + 1
    cells = page.locator(f"#main-table tbody tr > :nth-child({position})").all_inner_texts()
    return [text.strip().split("\n")[0] for text in cells]


def header(page: Any, title: str) -> Any:
    return page.locator("#main-table thead th").filter(has_text=title)


@pytest.mark.parametrize("name", sorted(SITUATIONS))
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


def test_page_with_hostile_labels_shows_them_as_they_are(opened: Opener) -> None:
    page = opened("hostile labels")
    arms = set(column(page, "Arm"))
    assert "<script>alert('x')</script>" in arms
    assert "</script><!-- a & b" in arms
    assert page.locator("#legend button").all_inner_texts()[0] == "<script>alert('x')</script>"
    assert page.locator("script").count() == 2  # the data and ours


def test_header_pressed_sorts_rows_and_says_so(opened: Opener) -> None:
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


def test_curve_pointed_at_tells_the_values_of_that_round(opened: Opener) -> None:
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


def test_curve_is_read_by_keyboard(opened: Opener) -> None:
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


def test_legend_pressed_hides_an_arm(opened: Opener) -> None:
    page = opened()
    button = page.locator("#legend button").filter(has_text="random")
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert len(drawn(page)) == 2
    button.click()
    assert len(drawn(page)) == 3


def test_cell_opened_by_keyboard_closes_by_escape_and_gives_focus_back(opened: Opener) -> None:
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


def test_failed_cell_tells_its_cause(opened: Opener) -> None:
    page = opened("failed cells", anchor="#cell/abcdef000001")
    assert page.locator("#cell .status").inner_text() == "failed"
    assert page.locator("#cell .cause").inner_text() == "round 3: loss is not finite at fixed"


def test_pending_cell_has_nothing_to_show(opened: Opener) -> None:
    page = opened("failed cells", anchor="#cell/abcdef000004")
    assert "No round has finished." in page.locator("#cell").inner_text()
    assert "Not written yet." in page.locator("#cell").inner_text()


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


def test_page_without_scripts_reads_all_the_same(opened: Opener) -> None:
    page = opened(scripts=False)
    assert column(page, "Test accuracy")[1] == "58.1"
    assert page.locator("#differences .line .shape").count() == 2
    assert page.locator("noscript").is_visible()


def test_numbers_of_script_are_written_as_those_of_tables(opened: Opener) -> None:
    page = opened(anchor="#cell/abcdef00000a")
    island = json.loads(page.locator("#data").text_content())
    last = [values[-1] for values in island["cells"][10]["rounds"]]
    keys = [column["key"] for column in island["columns"]]
    shown = page.locator("#cell tbody tr").last.locator("th, td").all_inner_texts()
    found = dict(zip(keys, shown, strict=True))
    assert found["test.accuracy"] == f"{100 * last[keys.index('test.accuracy')]:.1f}"
    assert found["test.loss"] == f"{last[keys.index('test.loss')]:.3f}"
    assert found["rank"] == "64"
    assert found["overlap"] == "2e−14"  # noqa: RUF001 - a minus
    assert found["memory_bytes"] == "286"
