"""How far the cells of a study are, read from their files, and which of them a small terminal shows."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from ..contracts import JobResult
from ..study.states import CellState, state_of
from ..study.study_loader import Study

FEW = 8
"""Rounds from which on a pace is told: the first of all pay for the workers' start."""
Arms = tuple[str, str, list[CellState]]
"""A block, an arm, and the states of its cells."""


class Progress:
    """How far every distinct cell of a study is, read from the runs' folders."""

    def __init__(self, study: Study, runs: Path, open_cells: Iterable[CellState]) -> None:
        self.study, self.runs = study, runs
        self.states = {key: state_of(runs, study.record, cell.record) for key, cell in study.distinct.items()}
        self.open = {state.cell.key for state in open_cells}
        self.began, self._first = time.monotonic(), self._done()
        self.cached = sum(
            1 for key, s in self.states.items() if s.status == "finished" and key not in self.open
        )

    def look(self) -> None:
        """Read what has changed."""
        for key in self.open:
            self.states[key] = state_of(self.runs, self.study.record, self.states[key].cell, probe=False)

    def end(self, ended: JobResult) -> None:
        """A cell has ended."""
        cell = self.states[ended.cell].cell
        self.states[ended.cell] = state_of(self.runs, self.study.record, cell)
        if ended.status in {"finished", "failed"}:
            self.open.discard(ended.cell)

    def _done(self) -> int:
        return sum(rounds_behind(s) for s in self.states.values())

    @property
    def left(self) -> float | None:
        """Seconds left, at the pace so far; None while too little has been done to tell."""
        done = self._done() - self._first
        rest = sum(1 + self.states[key].cell.rounds - rounds_behind(self.states[key]) for key in self.open)
        known = done >= max(FEW, 0.03 * (done + rest))
        return rest * (time.monotonic() - self.began) / done if known else None

    def count(self, status: str) -> int:
        """Cells in a state."""
        return sum(1 for s in self.states.values() if s.status == status)

    def rows(self) -> list[Arms]:
        """Block, arm and the states of its distinct cells."""
        found = dict[tuple[str, str], dict[str, CellState]]()
        for cell in self.study.record.included:
            found.setdefault((cell.block, cell.arm), {})[cell.key] = self.states[cell.key]
        return [(block, arm, list(states.values())) for (block, arm), states in found.items()]


def rounds_behind(state: CellState) -> int:
    """Rounds behind a cell, its beginning counted as one; a cell that has ended has none left."""
    if state.status == "finished":
        return 1 + state.cell.rounds
    return state.rounds + (1 if state.rounds else 0)


def fitting(rows: list[Arms], most: int) -> list[Arms]:
    """The rows for which a terminal has room, in their order: first those that are at work or have failed, then open ones."""
    if len(rows) <= most:
        return rows

    def urgency(row: Arms) -> int:
        statuses = {state.status for state in row[2]}
        if statuses & {"running", "failed"}:
            return 0
        return 2 if statuses == {"finished"} else 1

    first = sorted(range(len(rows)), key=lambda number: urgency(rows[number]))[: max(most, 1)]
    return [rows[number] for number in sorted(first)]
