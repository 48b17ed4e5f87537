"""A report in a real browser, for the tests that look at one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from boostlora.engine.report import write_report

from ..support.shared import Shared
from .analysis_samples import SITUATIONS, sample
from .run_reports import make_sums, make_tables

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DESK = (1280, 900)


@pytest.fixture(scope="session")
def tables(shared: Shared) -> Path:
    """A folder with a finished classification, `quickstart`, and a finished regression, `prices`."""
    return shared.made("run-report-tables", make_tables)


@pytest.fixture(scope="session")
def sums(shared: Shared) -> Path:
    """A folder with a finished run under rewards, `sums`."""
    pytest.importorskip("transformers", reason="the model is Hugging Face's")
    return shared.made("run-report-sums", make_sums)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("neither chromium nor google-chrome is installed")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
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
