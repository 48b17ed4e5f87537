"""The data of the page as one JSON object, compact enough for hundreds of cells."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs

from ..analysis.formats import is_loss, is_share, unit_of
from ..analysis.model import Analysis, CellView, Curve
from ..analysis.quantities import SPLITS, measured, metrics_of_splits
from ..contracts.records import RoundRecord
from .quantities import AXES, quantity, title_with_unit
from .tables import format_setting, metric_name

DIGITS = 5
"""Significant digits of plotted values, finer than a pixel."""


def json_for_script(content: dict[str, Any]) -> str:
    """A page's data as JSON that is safe inside `<script>`: `<`, `>` and `&` are escaped."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def payload(analysis: Analysis) -> dict[str, Any]:
    """The data of the page's script."""
    study = analysis.study
    arms = {arm.label: index for index, arm in enumerate(study.arms)}
    blocks = {block.label: index for index, block in enumerate(study.blocks)}
    axes, curves = _curves(analysis.curves, arms, blocks)
    specs = [flat(view.spec) for view in analysis.cells]
    origins = [flat(view.provenance) for view in analysis.cells]
    common_spec, common_origin = _common(specs), _common(origins)
    columns = columns_of([record for view in analysis.cells for record in view.records])
    names = dict.fromkeys([*(curve.quantity for curve in analysis.curves), *CELL_QUANTITIES])
    return {
        "study": {
            "name": study.name,
            "arms": list(arms),
            "blocks": list(blocks),
            "baseline": arms.get(study.baseline, -1) if study.baseline is not None else -1,
            "metric": metric_name(study),
        },
        "axes": {key: title for key, title in AXES.items() if any(key in axis for axis in axes)},
        "quantities": {name: _quantity(name) for name in names},
        "x": axes,
        "curves": curves,
        "columns": [{"key": c.key, "title": c.title, "form": c.form} for c in columns],
        "common": {"spec": common_spec, "provenance": common_origin},
        "cells": [
            _cell(view, arms, blocks, columns)
            | {
                "spec": _without_common(spec, common_spec),
                "provenance": _without_common(origin, common_origin),
            }
            for view, spec, origin in zip(analysis.cells, specs, origins, strict=True)
        ],
    }


def _quantity(name: str) -> dict[str, str]:
    form = "share" if is_share(name) else "loss" if is_loss(name) else "measure" if "." in name else name
    return {
        "title": quantity(name).title,
        "meaning": quantity(name).meaning,
        "form": form,
        "unit": unit_of(name),
    }


def rounded(value: float | None) -> float | int | None:
    """A number with `DIGITS` significant digits; None if it is not finite."""
    if value is None or not math.isfinite(value):
        return None
    short = float(f"{value:.{DIGITS}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def _curves(
    curves: tuple[Curve, ...], arms: dict[str, int], blocks: dict[str, int]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Curves refer to their x values by index, since all quantities of an arm share them."""
    axes, plotted = list[dict[str, Any]](), list[dict[str, Any]]()
    for curve in curves:
        x = {axis: [rounded(value) for value in values] for axis, values in curve.x.items()}
        if x not in axes:
            axes.append(x)
        plotted.append(
            {
                "arm": arms.get(curve.arm, 0),
                "block": blocks.get(curve.block, 0),
                "quantity": curve.quantity,
                "x": axes.index(x),
                **{name: _plot_values(curve, getattr(curve, name)) for name in ("mean", "low", "high")},
            }
        )
    return axes, plotted


def _plot_values(curve: Curve, values: tuple[float | None, ...]) -> list[float | int | None]:
    """Values to plot; quantities of a round have none for the base."""
    points = [rounded(value) for value in values]
    return [None, *points[1:]] if curve.quantity in {"lost", "gained", "overlap"} else points


def _cell(
    view: CellView, arms: dict[str, int], blocks: dict[str, int], columns: Sequence[RoundColumn]
) -> dict[str, Any]:
    cell, state = view.state.cell, view.state
    result = view.result or {}
    return {
        "key": cell.key,
        "label": cell.label,
        "arm": arms.get(cell.arm, 0),
        "block": blocks.get(cell.block, 0),
        "seed": cell.seed,
        "tuning": {key: format_setting(value) for key, value in cell.tuning.items()},
        "selected": view.selected,
        "folder": cell.folder,
        "status": state.status,
        "cause": state.cause,
        "ended": " · ".join(str(result[key]) for key in ("status", "reason") if result.get(key))
        or state.ended,
        "best": result.get("best_round"),
        "planned": cell.rounds,
        "rounds": [[column.value(record) for record in view.records] for column in columns],
    }


@attrs.frozen
class RoundColumn:
    """A column of a cell's table of rounds; `form` selects the number format of the page."""

    key: str
    title: str
    form: str
    value: Callable[[RoundRecord], float | int | str | None]


def _trained(name: str) -> Callable[[RoundRecord], float | None]:
    """A value of a trained round; None for the base."""
    return lambda record: None if record.round == 0 else rounded(getattr(record, name))


def _metric(split: str, metric: str) -> Callable[[RoundRecord], float | None]:
    return lambda record: rounded(getattr(getattr(record, split), metric))


COLUMNS = (
    RoundColumn("round", "Round", "round", lambda r: r.round),
    RoundColumn("status", "Status", "text", lambda r: r.status + (f": {r.reason}" if r.reason else "")),
    RoundColumn("failures", "Failures", "count", lambda r: r.failures),
    RoundColumn("trained_on", "Trained on", "count", _trained("trained_on")),
    RoundColumn("train.accuracy", "Training, %", "share", _metric("train", "accuracy")),
    RoundColumn("validation.accuracy", "Validation, %", "share", _metric("validation", "accuracy")),
    RoundColumn("test.accuracy", "Test, %", "share", _metric("test", "accuracy")),
    RoundColumn("train.loss", "Training loss", "loss", _metric("train", "loss")),
    RoundColumn("validation.loss", "Validation loss", "loss", _metric("validation", "loss")),
    RoundColumn("test.loss", "Test loss", "loss", _metric("test", "loss")),
    RoundColumn("lost", "Lost", "count", _trained("lost")),
    RoundColumn("gained", "Gained", "count", _trained("gained")),
    RoundColumn("scale", "Scale", "loss", _trained("scale")),
    RoundColumn("loss_first", "First batch's loss", "loss", lambda r: rounded(r.loss_first)),
    RoundColumn("loss_last", "Last batch's loss", "loss", lambda r: rounded(r.loss_last)),
    RoundColumn("parameters", "Parameters", "count", _trained("parameters")),
    RoundColumn("rank", "Rank", "rank", lambda r: rounded(mean(r.rank.values()))),
    RoundColumn("effective_rank", "Eff. rank", "rank", lambda r: rounded(mean(r.effective_rank.values()))),
    RoundColumn("overlap", "Overlap", "overlap", lambda r: rounded(r.overlap)),
    RoundColumn("seconds", "Seconds", "seconds", lambda r: rounded(sum(r.seconds.values()))),
    RoundColumn(
        "memory_bytes", "Memory, MiB", "memory_bytes", lambda r: rounded(float(r.memory_bytes) or None)
    ),
)
"""Columns of a cell's rounds, in the order of the page's table; ranks are means over sites."""

LAST_OF_SPLITS = "test.loss"


def columns_of(records: Sequence[RoundRecord]) -> tuple[RoundColumn, ...]:
    """The columns of records, with their task's measures after accuracies and losses."""
    names = dict.fromkeys(name for record in records for name in metrics_of_splits(record))
    index = next(i for i, column in enumerate(COLUMNS) if column.key == LAST_OF_SPLITS) + 1
    measures = (
        RoundColumn(
            f"{split}.{name}",
            title_with_unit(f"{split}.{name}"),
            _quantity(f"{split}.{name}")["form"],
            _measure(f"{split}.{name}"),
        )
        for split in reversed(SPLITS)
        for name in measured(names, split)
    )
    return (*COLUMNS[:index], *measures, *COLUMNS[index:])


def _measure(name: str) -> Callable[[RoundRecord], float | None]:
    return lambda record: rounded(metrics_of_splits(record).get(name))


CELL_QUANTITIES = (
    "test.accuracy",
    "validation.accuracy",
    "train.accuracy",
    "test.loss",
    "validation.loss",
    "train.loss",
)
"""Quantities in the chart of a cell."""


def mean(values: Iterable[float]) -> float | None:
    """The mean over sites; None without sites."""
    known = list(values)
    return sum(known) / len(known) if known else None


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """A tree with dotted keys, its values as text."""
    found = dict[str, str]()
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + str(key)] = format_setting(value)
    return found


def _common(trees: list[dict[str, str]]) -> dict[str, str]:
    """Entries that all non-empty trees share; the page holds them once."""
    known = [tree for tree in trees if tree]
    if not known:
        return {}
    return {key: value for key, value in known[0].items() if all(tree.get(key) == value for tree in known)}


def _without_common(tree: dict[str, str], common: dict[str, str]) -> dict[str, str] | None:
    """Entries of a tree that are not common; None for an empty tree."""
    return {key: value for key, value in tree.items() if common.get(key) != value} if tree else None
