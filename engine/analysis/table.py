"""An analysis as text tables, with a heading per block and a line per arm: metrics, and costs."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from ..sdk.metrics import BASIC_METRICS, CLASS_MEASURES, VALUE_MEASURES
from ..study.record import setting_text
from .formats import (
    MISSING,
    difference_unit,
    metric_text,
    number_text,
    p_text,
    relative_text,
    signed_text,
    unit_of,
)
from .formats import interval_text as interval
from .model import Analysis, Row
from .quantities import measured

DROPPED = ("rounds", "relative", "seeds", "p (Holm)", "tuned")
"""Columns that are dropped on a narrow terminal, in this order."""

LEFT = ("arm", "tuned", "verdict")
"""Left-aligned columns."""

MOST_MEASURES = 4
"""Further measures that a study's table has at most."""


@attrs.frozen(kw_only=True)
class Block:
    """The lines of one block: cells in the order of the columns."""

    heading: str
    """Empty if the study has a single block."""
    rows: tuple[tuple[str, ...], ...]


@attrs.frozen(kw_only=True)
class Table:
    """Column titles and blocks."""

    columns: tuple[str, ...]
    blocks: tuple[Block, ...]

    def without(self, column: str) -> Table:
        """The table without a column; unchanged if it has no such column."""
        if column not in self.columns:
            return self
        index = self.columns.index(column)
        blocks = tuple(
            attrs.evolve(block, rows=tuple(row[:index] + row[index + 1 :] for row in block.rows))
            for block in self.blocks
        )
        return Table(columns=self.columns[:index] + self.columns[index + 1 :], blocks=blocks)


def table(analysis: Analysis) -> Table:
    """The table of an analysis, without columns that are empty in every line."""
    study = analysis.study
    extras = extra_metrics(analysis)
    columns = (
        "arm",
        "tuned",
        "seeds",
        "rounds",
        _titled(f"{study.split} {study.metric}", unit_of(study.metric)),
        *(_titled(name, unit_of(name)) for name in extras),
        _titled("difference", difference_unit(study.metric)),
        "relative",
        "p (Holm)",
        "verdict",
    )
    blocks = tuple(
        Block(
            heading=block.label,
            rows=tuple(_cells(row, analysis, extras) for row in analysis.rows if row.block == block.label),
        )
        for block in study.blocks
    )
    found = Table(columns=columns, blocks=blocks)
    for index, column in enumerate(columns):
        if column != "arm" and all(row[index] in {"", MISSING} for block in blocks for row in block.rows):
            found = found.without(column)
    return found


def table_lines(analysis: Analysis, width: int) -> list[str]:
    """The table as lines of text; columns of low priority are dropped until it fits into `width` characters."""
    found = table(analysis)
    extras = [_titled(name, unit_of(name)) for name in extra_metrics(analysis)]
    for column in (*reversed(extras), *DROPPED):
        if max(map(len, lines_of(found))) <= width:
            break
        found = found.without(column)
    return lines_of(found)


def lines_of(found: Table) -> list[str]:
    """The table as lines of text, columns aligned."""
    rows = [found.columns, *(row for block in found.blocks for row in block.rows)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(found.columns))]
    lines = [_line(found, found.columns, widths)]
    for block in found.blocks:
        lines += [block.heading] if block.heading else []
        lines += [_line(found, row, widths) for row in block.rows]
    return lines


def _line(found: Table, cells: Sequence[str], widths: Sequence[int]) -> str:
    parts = [
        cell.ljust(width) if column in LEFT else cell.rjust(width)
        for column, cell, width in zip(found.columns, cells, widths, strict=True)
    ]
    return "  ".join(parts).rstrip()


def extra_metrics(analysis: Analysis) -> list[str]:
    """Columns besides the study's metric: the first other measures on the compared split, and accuracy if it is not the metric.

    A study that compares by accuracy or loss has the measures of its tasks alone, and none of those that every task has.
    """
    study = analysis.study
    found = measured((name for row in analysis.rows for name in row.metrics), study.split)
    if study.metric in BASIC_METRICS:
        own = {
            name
            for cell in analysis.cells
            for record in cell.records
            for name in getattr(record, study.split).own
        }
        found = [name for name in found if name in own or name not in (*CLASS_MEASURES, *VALUE_MEASURES)]
    found = found[:MOST_MEASURES]
    return [name for name in ("accuracy", *found) if name != study.metric] if found else []


def _titled(name: str, unit: str) -> str:
    return f"{name} ({unit})" if unit else name


def _cells(row: Row, analysis: Analysis, extras: Sequence[str]) -> tuple[str, ...]:
    study, comparison = analysis.study, row.comparison
    metric = study.metric
    difference = comparison.difference if comparison else None
    rounds = row.metrics.get("rounds")
    return (
        row.arm,
        " ".join(f"{key.rpartition('.')[2]}={setting_text(value)}" for key, value in row.tuned.items()),
        str(len(row.seeds)) + (f" of {len(row.seeds) + len(row.missing)}" if row.missing else ""),
        metric_text(rounds, "rounds").partition(" ")[0],
        metric_text(row.metrics.get(f"{study.split}.{metric}"), metric),
        *(_mean(row, f"{study.split}.{name}") for name in extras),
        MISSING
        if difference is None
        else f"{signed_text(difference.mean, metric)} {interval(difference.low, difference.high, metric)}".strip(),
        relative_text(comparison.relative) if comparison else MISSING,
        p_text(comparison.p_holm) if comparison else MISSING,
        _verdict(row),
    )


def _mean(row: Row, name: str) -> str:
    found = row.metrics.get(name)
    return MISSING if found is None else number_text(found.mean, name)


def _verdict(row: Row) -> str:
    if row.is_baseline:
        return "baseline"
    return row.comparison.verdict if row.comparison else MISSING


COSTS = {
    "parameters": "parameters",
    "stored": "stored",
    "steps": "steps",
    "examples": "examples",
    "lost": "lost",
    "seconds": "time",
}
"""Column titles by metric."""

SHARED_COSTS = {"steps": "steps", "examples": "examples"}
"""Costs that studies usually hold equal: if all arms agree, a sentence replaces the column."""

COST_DROPPED = ("stored", "seconds")
"""Columns that are dropped on a narrow terminal, in this order."""


def cost_table(analysis: Analysis) -> Table:
    """Mean costs of the arms over seeds, without columns that are empty or equal in all arms.

    `parameters` are those trained in all merged rounds, `stored` those needed to rebuild the model, `lost` the share of
    training examples right before a round that are wrong after it, and `time` that of the whole run.
    """
    shared, rows = equal_costs(analysis), analysis.rows
    names = [name for name in COSTS if name not in shared and any(name in row.metrics for row in rows)]
    return Table(
        columns=("arm", *(_cost_title(name) for name in names)),
        blocks=tuple(
            Block(
                heading=block.label,
                rows=tuple(
                    (row.arm, *(_cost_cell(row, name) for name in names))
                    for row in analysis.rows
                    if row.block == block.label
                ),
            )
            for block in analysis.study.blocks
        ),
    )


def equal_costs(analysis: Analysis) -> dict[str, float]:
    """The costs of `SHARED_COSTS` that are equal in every row."""
    found = dict[str, float]()
    for name in SHARED_COSTS:
        values = {row.metrics[name].mean if name in row.metrics else None for row in analysis.rows}
        value = values.pop() if len(values) == 1 else None
        if value is not None:
            found[name] = value
    return found


def cost_lines(analysis: Analysis, width: int) -> list[str]:
    """The table as lines of text of up to `width` characters; empty if no cell has finished."""
    found = cost_table(analysis)
    if not any(row.metrics for row in analysis.rows):
        return []
    for name in COST_DROPPED:
        if max(map(len, lines_of(found))) > width:
            found = found.without(_cost_title(name))
    equal = [
        f"{number_text(value, name)} {SHARED_COSTS[name]}" for name, value in equal_costs(analysis).items()
    ]
    return [*lines_of(found), *([f"in every arm: {', '.join(equal)}"] if equal else [])]


def _cost_title(name: str) -> str:
    unit = unit_of(name)
    return f"{COSTS[name]} ({unit})" if unit else COSTS[name]


def _cost_cell(row: Row, name: str) -> str:
    found = row.metrics.get(name)
    return MISSING if found is None else number_text(found.mean, name)
