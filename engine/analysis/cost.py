"""What arms cost beside what they reached: numbers, steps, forgetting and time, as a table of text."""

from __future__ import annotations

from .formats import NOTHING, number_text, unit_of
from .model import Analysis, Row
from .table import Block, Table, lines_of

COSTS = {
    "parameters": "parameters",
    "stored": "stored",
    "steps": "steps",
    "examples": "examples",
    "lost": "lost",
    "seconds": "time",
}
"""Metrics of a row by the titles of their columns."""

SAID_ONCE = {"steps": "steps", "examples": "examples"}
"""What a study holds equal as a rule: where it is, a sentence says it, and the table does without the column."""

DROPPED = ("stored", "seconds")
"""Columns that give way on a narrow terminal, the first first."""


def cost_table(analysis: Analysis) -> Table:
    """Means over seeds of what the arms of an analysis cost; columns that are empty or said once for all are left out.

    Numbers are those trained in all merged rounds; stored, those to be kept to make the model again; lost, of the training
    examples right before a round the share wrong after it; time, that of the whole run.
    """
    said, rows = equal_costs(analysis), analysis.rows
    names = [name for name in COSTS if name not in said and any(name in row.metrics for row in rows)]
    return Table(
        columns=("arm", *(_title(name) for name in names)),
        blocks=tuple(
            Block(
                heading=block.label,
                rows=tuple(
                    (row.arm, *(_cell(row, name) for name in names))
                    for row in analysis.rows
                    if row.block == block.label
                ),
            )
            for block in analysis.study.blocks
        ),
    )


def equal_costs(analysis: Analysis) -> dict[str, float]:
    """The costs of `SAID_ONCE` that every row has alike."""
    found = dict[str, float]()
    for name in SAID_ONCE:
        values = {row.metrics[name].mean if name in row.metrics else None for row in analysis.rows}
        value = values.pop() if len(values) == 1 else None
        if value is not None:
            found[name] = value
    return found


def cost_lines(analysis: Analysis, width: int) -> list[str]:
    """The table as lines of text, as far as `width` characters hold it; none where nothing has finished."""
    found = cost_table(analysis)
    if not any(row.metrics for row in analysis.rows):
        return []
    for name in DROPPED:
        if max(map(len, lines_of(found))) > width:
            found = found.without(_title(name))
    equal = [f"{number_text(value, name)} {SAID_ONCE[name]}" for name, value in equal_costs(analysis).items()]
    return [*lines_of(found), *([f"in every arm: {', '.join(equal)}"] if equal else [])]


def _title(name: str) -> str:
    unit = unit_of(name)
    return f"{COSTS[name]} ({unit})" if unit else COSTS[name]


def _cell(row: Row, name: str) -> str:
    found = row.metrics.get(name)
    return NOTHING if found is None else number_text(found.mean, name)
