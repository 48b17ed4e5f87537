"""What every arm cost beside what it reached, as a table."""

from __future__ import annotations

from ..analysis.model import Analysis, Row
from .quantities import interval, quantity, titled, written
from .table import EMPTY, Column, MainTable, TableCell

COSTS = (
    "rounds",
    "steps",
    "examples",
    "parameters",
    "stored",
    "lost",
    "gained",
    "seconds",
    "memory_bytes",
)

ABOUT = (
    "Means over seeds. Numbers stored are those to be kept to make the model again from its base: the numbers trained, and frames of "
    "directions that came from data; singular directions of the base and random ones need not be kept. Lost and gained "
    "count training examples over all rounds. Time is that of whole runs on the machine as it was, and that of an arm counts "
    "only beside that of its neighbours."
)
"""How to read the table."""


def cost_table(analysis: Analysis) -> MainTable | None:
    """A row an arm and block, in the study's order, without columns in which no row has anything to say; None where none has."""
    names = [name for name in COSTS if any(name in row.metrics for row in analysis.rows)]
    if not names:
        return None
    several = any(row.block for row in analysis.rows)
    columns = (
        *(
            [Column(key="block", title="Block", meaning="part of the study", numeric=False)]
            if several
            else []
        ),
        Column(key="arm", title="Arm", meaning="the setting that is compared", numeric=False),
        *(Column(key=n, title=titled(n), meaning=f"{quantity(n).meaning}; mean over seeds") for n in names),
    )
    return MainTable(
        columns=columns,
        rows=tuple(
            (
                *([TableCell(text=row.block, sort=row.block)] if several else []),
                TableCell(text=row.arm, sort=row.arm),
                *(_cell(row, name) for name in names),
            )
            for row in analysis.rows
        ),
    )


def _cell(row: Row, name: str) -> TableCell:
    found = row.metrics.get(name)
    if found is None:
        return EMPTY
    detail = interval(name, found.low, found.high) if name in {"lost", "gained"} else ""
    return TableCell(text=written(name, found.mean), detail=detail, sort=found.mean)
