"""What each arm was tuned over, as a table: candidates with the metric on validation by which they were judged."""

from __future__ import annotations

from ..analysis.model import Analysis, Candidate
from .quantities import interval, titled, written
from .table import EMPTY, Column, MainTable, TableCell, settings

CHOSEN = "✓ chosen"


def tuning_table(analysis: Analysis) -> MainTable | None:
    """A row a candidate, in the study's order; None where nothing is tuned.

    It has no column of the test split: what a candidate would have had there must not tempt anyone to choose by it.
    """
    if not analysis.candidates:
        return None
    name = f"validation.{analysis.study.metric}"
    columns = (
        Column(key="block", title="Block", meaning="each is tuned by itself", numeric=False),
        Column(key="arm", title="Arm", meaning="the setting that is tuned", numeric=False),
        Column(key="candidate", title="Candidate", meaning="the values that were tried", numeric=False),
        Column(key="seeds", title="Seeds", meaning="seeds by which it was judged"),
        Column(key="validation", title=titled(name), meaning="mean over these seeds with its interval"),
        Column(key="chosen", title="Chosen", meaning="the arm is reported at it", numeric=False),
    )
    rows = tuple(_row(candidate, name) for candidate in analysis.candidates)
    if any(candidate.block for candidate in analysis.candidates):
        return MainTable(columns=columns, rows=rows)
    return MainTable(columns=columns[1:], rows=tuple(row[1:] for row in rows))


def _row(candidate: Candidate, name: str) -> tuple[TableCell, ...]:
    found, values = candidate.validation, settings(candidate.tuning, short=True)
    judged = EMPTY
    if found is not None:
        detail = interval(name, found.low, found.high)
        judged = TableCell(text=written(name, found.mean), detail=detail, sort=found.mean)
    return (
        TableCell(text=candidate.block, sort=candidate.block),
        TableCell(text=candidate.arm, sort=candidate.arm),
        TableCell(text=values, sort=values, title=settings(candidate.tuning)),
        TableCell(text=str(len(candidate.seeds)), sort=len(candidate.seeds), title=_seeds(candidate)),
        judged,
        TableCell(text=CHOSEN, sort=0) if candidate.chosen else TableCell(text="", sort=1),
    )


def _seeds(candidate: Candidate) -> str:
    return f"seeds {', '.join(map(str, candidate.seeds))}" if candidate.seeds else "no seed has finished"
