"""The report as one self-contained HTML file, readable also without scripts."""

from __future__ import annotations

from importlib import resources
from typing import Any

from ..analysis.formats import is_lower_better
from ..analysis.model import Analysis, CellView
from ..analysis.quantities import metrics_of_splits
from . import narrative
from .dot_plots import forest_plot, seed_plot
from .payload import json_for_script, payload
from .quantities import no_break, quantity, with_unit
from .sheets import counted
from .tables import COST_NOTE, LEGEND, MARKS, cost_table, main_table, metric_name, settings, tuning_table

PACKAGE = __name__.rpartition(".")[0]
SCRIPTS = ("dom.js", "formats.js", "scales.js", "chart.js", "curves.js", "sorting.js", "cells.js", "start.js")
STYLES = ("page.css", "parts.css", "print.css")


def html(analysis: Analysis) -> str:
    """Render the page."""
    return render("page.html", SCRIPTS, payload(analysis), _content(analysis))


def render(template: str, scripts: tuple[str, ...], data: dict[str, Any], content: dict[str, Any]) -> str:
    """A template with the styles of all pages, some scripts and their data."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - slow to import
    from markupsafe import Markup  # noqa: PLC0415

    environment = Environment(
        loader=PackageLoader(PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["no_break"] = no_break
    own = {
        "style": Markup("\n".join(_asset(name) for name in STYLES)),  # noqa: S704 - our own files
        "script": Markup("\n".join(_asset(name) for name in scripts)),  # noqa: S704
        "data_json": Markup(json_for_script(data)),  # noqa: S704 - escaped by json_for_script
    }
    return environment.get_template(template).render(content | own)


def _content(analysis: Analysis) -> dict[str, Any]:
    study = analysis.study
    return {
        "study": study,
        "answer": narrative.answer(analysis),
        "facts": narrative.facts(analysis),
        "methods": narrative.methods(analysis),
        "arms": narrative.arms(analysis),
        "reproduce": narrative.reproduce(analysis),
        "origin": narrative.origin(analysis),
        "table": main_table(analysis),
        "rows": analysis.rows,
        "marks": MARKS,
        "legend": LEGEND,
        "costs": cost_table(analysis),
        "about_costs": COST_NOTE,
        "tuning": tuning_table(analysis),
        "about_tuning": narrative.tuning(analysis),
        "forest": forest_plot(analysis),
        "seeds": seed_plot(analysis),
        "curves": bool(analysis.curves),
        "cells": [_cell_row(analysis, view) for view in analysis.cells],
        "lower": is_lower_better(study.metric),
        "metric": quantity(metric_name(study)).title,
        "several_blocks": len(study.blocks) > 1,
        "tuned": any(view.state.cell.tuning for view in analysis.cells),
    }


def _cell_row(analysis: Analysis, view: CellView) -> dict[str, Any]:
    """A row of the table of cells."""
    name = metric_name(analysis.study)
    last = counted(view, analysis.study.at)
    value = None if last is None else metrics_of_splits(view.records[last]).get(name)
    return {
        "key": view.state.cell.key,
        "cell": view.state.cell,
        "status": view.state.status,
        "selected": view.selected,
        "tuning": settings(view.state.cell.tuning, short=True),
        "rounds": view.state.rounds,
        "value": with_unit(name, value),
        "sort": value,
    }


def _asset(name: str) -> str:
    return resources.files(PACKAGE).joinpath("templates", name).read_text(encoding="utf-8").strip()
