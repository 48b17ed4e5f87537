"""An analysis as a table of text: a heading a block, a line an arm."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from ..study.labels import text
from .formats import (
    NOTHING,
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
"""Columns that give way on a narrow terminal, the first first."""

LEFT = ("arm", "tuned", "verdict")
"""Columns that are aligned to the left."""


@attrs.frozen(kw_only=True)
class Block:
    """The lines of one block: cells in the order of the columns."""

    heading: str
    """Empty where the study has a single block."""
    rows: tuple[tuple[str, ...], ...]


@attrs.frozen(kw_only=True)
class Table:
    """Titles and blocks."""

    columns: tuple[str, ...]
    blocks: tuple[Block, ...]

    def without(self, column: str) -> Table:
        """The table less a column; itself where it has none such."""
        if column not in self.columns:
            return self
        index = self.columns.index(column)
        blocks = tuple(
            attrs.evolve(block, rows=tuple(row[:index] + row[index + 1 :] for row in block.rows))
            for block in self.blocks
        )
        return Table(columns=self.columns[:index] + self.columns[index + 1 :], blocks=blocks)


def table(analysis: Analysis) -> Table:
    """The table of an analysis; columns that would be empty in every line are left out."""
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
        if column != "arm" and all(row[index] in {"", NOTHING} for block in blocks for row in block.rows):
            found = found.without(column)
    return found


def table_lines(analysis: Analysis, width: int) -> list[str]:
    """The table as lines of text, with as many columns as `width` characters hold; the most important always stay."""
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
    """What a table shows beside the study's metric: the other measures of the compared split, with accuracy where it is not compared.

    Nothing where the task has no measures of its own.
    """
    study = analysis.study
    found = measured((name for row in analysis.rows for name in row.metrics), study.split)
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
        " ".join(f"{key.rpartition('.')[2]}={text(value)}" for key, value in row.tuned.items()),
        str(len(row.seeds)) + (f" of {len(row.seeds) + len(row.missing)}" if row.missing else ""),
        metric_text(rounds, "rounds").partition(" ")[0],
        metric_text(row.metrics.get(f"{study.split}.{metric}"), metric),
        *(_mean(row, f"{study.split}.{name}") for name in extras),
        NOTHING
        if difference is None
        else f"{signed_text(difference.mean, metric)} {interval(difference.low, difference.high, metric)}".strip(),
        relative_text(comparison.relative) if comparison else NOTHING,
        p_text(comparison.p_holm) if comparison else NOTHING,
        _verdict(row),
    )


def _mean(row: Row, name: str) -> str:
    found = row.metrics.get(name)
    return NOTHING if found is None else number_text(found.mean, name)


def _verdict(row: Row) -> str:
    if row.is_baseline:
        return "baseline"
    return row.comparison.verdict if row.comparison else NOTHING
