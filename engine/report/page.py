"""The report as one HTML file that needs nothing but a browser, and reads without scripts too."""

from __future__ import annotations

from importlib import resources
from typing import Any

from ..analysis.formats import is_lower_better
from ..analysis.model import Analysis, CellView
from ..analysis.quantities import metrics_of_splits
from . import words
from .cost import ABOUT, cost_table
from .payload import island
from .pictures import every_seed, forest
from .quantities import quantity, together, with_unit
from .sheets import counted
from .table import LEGEND, MARKS, main_table, metric_name, settings
from .tuned_arms import tuning_table

PACKAGE = __name__.rpartition(".")[0]
SCRIPTS = ("dom.js", "formats.js", "scales.js", "chart.js", "curves.js", "sorting.js", "cells.js", "start.js")
STYLES = ("page.css", "parts.css", "print.css")


def html(analysis: Analysis) -> str:
    """The whole page."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - only where a page is made

    environment = Environment(
        loader=PackageLoader(PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["together"] = together
    return environment.get_template("page.html").render(_content(analysis))


def _content(analysis: Analysis) -> dict[str, Any]:
    from markupsafe import Markup  # noqa: PLC0415

    study = analysis.study
    return {
        "study": study,
        "answer": words.answer(analysis),
        "facts": words.facts(analysis),
        "methods": words.methods(analysis),
        "arms": words.arms(analysis),
        "reproduce": words.reproduce(analysis),
        "origin": words.origin(analysis),
        "table": main_table(analysis),
        "rows": analysis.rows,
        "marks": MARKS,
        "legend": LEGEND,
        "costs": cost_table(analysis),
        "about_costs": ABOUT,
        "tuning": tuning_table(analysis),
        "about_tuning": words.tuning(analysis),
        "forest": forest(analysis),
        "seeds": every_seed(analysis),
        "curves": bool(analysis.curves),
        "cells": [_listed(analysis, view) for view in analysis.cells],
        "lower": is_lower_better(study.metric),
        "metric": quantity(metric_name(study)).title,
        "several_blocks": len(study.blocks) > 1,
        "tuned": any(view.state.cell.tuning for view in analysis.cells),
        "style": Markup("\n".join(_asset(name) for name in STYLES)),  # noqa: S704 - our own files
        "script": Markup("\n".join(_asset(name) for name in SCRIPTS)),  # noqa: S704
        "island": Markup(island(analysis)),  # noqa: S704 - escaped there
    }


def _listed(analysis: Analysis, view: CellView) -> dict[str, Any]:
    """A cell's line in the list of all cells."""
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
