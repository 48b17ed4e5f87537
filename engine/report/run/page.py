"""The report of a run as one self-contained HTML file, readable also without scripts."""

from __future__ import annotations

from typing import Any

from ..page import render
from . import narrative
from .charts import charts, payload
from .tables import results_table, rivals_table, rounds_table, sample_cards
from .view import RunView

SCRIPTS = ("dom.js", "formats.js", "scales.js", "chart.js", "sorting.js", "run.js")


def html(view: RunView) -> str:
    """Render the page."""
    return render("run.html", SCRIPTS, payload(view), _content(view))


def _content(view: RunView) -> dict[str, Any]:
    return {
        "name": view.name,
        "description": str(view.spec.get("description", "")),
        "state": narrative.state(view),
        "lead": narrative.lead(view),
        "notes": narrative.notes(view),
        "facts": narrative.facts(view),
        "results": results_table(view),
        "rivals": rivals_table(view),
        "charts": charts(view),
        "samples": sample_cards(view),
        "split": view.samples.split if view.samples else "",
        "forgetting": narrative.forgetting(view),
        "rounds": rounds_table(view) if view.records else None,
        "best": view.best if view.records else None,
        "next": narrative.next_commands(view),
        "origin": narrative.origin(view),
        "spec": view.spec_toml,
    }
