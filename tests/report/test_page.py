"""The HTML page as text: safe, whole, and small."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.engine.report.page import html
from boostlora.engine.report.payload import json_for_script, payload, rounded

from .analysis_samples import HOSTILE, SITUATIONS, sample

VOID = {"meta", "link", "input", "br"}


class Nesting(HTMLParser):
    """Complains of tags that are not closed in order, and remembers what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.outside += [v or "" for k, v in attributes if k in {"src", "href", "action"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def parsed(page: str) -> Nesting:
    parser = Nesting()
    parser.feed(page)
    parser.close()
    return parser


@pytest.mark.parametrize("name", sorted(SITUATIONS))
def test_page_in_every_situation_is_well_formed_and_refers_to_nothing_outside(name: str) -> None:
    found = parsed(html(sample(**SITUATIONS[name])))
    assert found.open == []
    assert all(link.startswith(("#", "data:")) for link in found.outside)


def test_page_forbids_every_connection() -> None:
    page = html(sample())
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert policy[1].startswith(
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
    )
    assert page.index("Content-Security-Policy") < page.index("<style>") < page.index("<script")


def test_page_with_hostile_labels_keeps_them_as_text() -> None:
    page = html(sample(**SITUATIONS["hostile labels"]))
    texts = "".join(parsed(page).texts)
    assert all(label in texts for label in HOSTILE)
    assert page.count("<script") == 2
    assert page.count("</script") == 2


@given(label=st.text(max_size=30))
def test_island_with_any_label_is_json_without_markup(label: str) -> None:
    analysis = sample(arms=("a",), seeds=(0,), rounds=1, baseline=False)
    text = json_for_script(payload(attrs.evolve(analysis, study=attrs.evolve(analysis.study, name=label))))
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text)["study"]["name"] == label


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_non_finite_number_becomes_null(value: float | None) -> None:
    assert rounded(value) is None


@given(value=st.floats(min_value=-1e12, max_value=1e12, allow_nan=False))
def test_number_is_rounded_to_five_digits(value: float) -> None:
    short = rounded(value)
    assert short is not None
    assert abs(short - value) <= 0.5e-4 * abs(value)


def test_specs_are_sent_once_with_what_differs_in_each_cell() -> None:
    content: dict[str, Any] = payload(sample())
    assert content["common"]["spec"]["optimizer.steps"] == "40"
    assert content["cells"][7]["spec"] == {"seed": "2", "basis.use": "random"}


def test_cell_that_has_not_started_has_no_spec() -> None:
    content: dict[str, Any] = payload(sample(**SITUATIONS["failed cells"]))
    assert content["cells"][4]["spec"] is None
    assert content["common"]["spec"]["optimizer.steps"] == "40"


def test_curves_of_an_arm_share_their_axes() -> None:
    content: dict[str, Any] = payload(sample())
    assert len(content["curves"]) == 30
    assert len(content["x"]) == 2  # `random` and `rotate` advance alike


def test_quantities_of_rounds_are_not_drawn_for_the_base() -> None:
    curves: list[dict[str, Any]] = payload(sample())["curves"]
    for curve in curves:
        assert (curve["mean"][0] is None) == (curve["quantity"] in {"overlap", "lost", "gained"})


def test_page_of_120_cells_stays_small() -> None:
    arms = tuple(f"arm {i}" for i in range(6))
    page = html(sample(arms=arms, blocks=("one", "two"), seeds=tuple(range(10))))
    assert page.count('class="code" href="#cell/') == 120
    assert len(page.encode()) < 1_000_000
