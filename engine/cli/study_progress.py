"""Progress of a running study: one line an arm on a terminal, one line a cell in a log, JSON lines for scripts."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ..contracts import JobResult
from ..foundation.counts import count_text
from ..study.states import CellState, state_of
from ..study.study_loader import Study
from .console import Console
from .layout import LEAST, cut, line_width
from .progress_display import PlainLines, is_terminal
from .terminal import echo
from .units import duration

FEW = 8
"""Rounds before the time left is estimated: the first ones include the start of the workers."""
Arms = tuple[str, str, list[CellState]]
"""A block, an arm, and the states of its cells."""
BAR = 24
ROWS_AROUND = 5
"""Lines of the display in addition to the arms."""
COLOURS = {"finished": "green", "failed": "red", "running": "cyan", "interrupted": "yellow", "pending": "dim"}


class Progress:
    """States of all distinct cells of a study, read from their folders."""

    def __init__(self, study: Study, runs: Path, open_cells: Iterable[CellState]) -> None:
        self.study, self.runs = study, runs
        self.states = {key: state_of(runs, study.record, cell.record) for key, cell in study.distinct.items()}
        self.open = {state.cell.key for state in open_cells}
        self.began, self._first = time.monotonic(), self._done()
        self.cached = sum(
            1 for key, s in self.states.items() if s.status == "finished" and key not in self.open
        )

    def refresh(self) -> None:
        """Read the states of open cells again."""
        for key in self.open:
            self.states[key] = state_of(self.runs, self.study.record, self.states[key].cell, probe=False)

    def end(self, ended: JobResult) -> None:
        """Record the end of a cell."""
        cell = self.states[ended.cell].cell
        self.states[ended.cell] = state_of(self.runs, self.study.record, cell)
        if ended.status in {"finished", "failed"}:
            self.open.discard(ended.cell)

    def _done(self) -> int:
        return sum(rounds_done(s) for s in self.states.values())

    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.began

    @property
    def left(self) -> float | None:
        """Estimated seconds left: rounds left x seconds per round so far; None while too few rounds are done."""
        done = self._done() - self._first
        rest = sum(1 + self.states[key].cell.rounds - rounds_done(self.states[key]) for key in self.open)
        known = done >= max(FEW, 0.03 * (done + rest))
        return rest * self.seconds() / done if known else None

    def count(self, status: str) -> int:
        """Cells in a state."""
        return sum(1 for s in self.states.values() if s.status == status)

    def line(self) -> str:
        """Cells and rounds done, time so far and time left."""
        parts = [
            f"{self.count('finished')} of {count_text(len(self.states), 'cell')}",
            f"{self.count('running')} running",
        ]
        if failed := self.count("failed"):
            parts.append(f"{failed} failed")
        rounds = sum(s.cell.rounds if s.status == "finished" else s.rounds for s in self.states.values())
        planned = sum(s.cell.rounds for s in self.states.values())
        parts.append(f"{rounds} of {count_text(planned, 'round')}")
        parts.append(f"{duration(self.seconds())} so far")
        if left := self.left:
            parts.append(f"about {duration(max(1.0, left))} left")
        return " · ".join(parts)

    def rows(self) -> list[Arms]:
        """Block, arm and the states of its distinct cells."""
        found = dict[tuple[str, str], dict[str, CellState]]()
        for cell in self.study.record.included:
            found.setdefault((cell.block, cell.arm), {})[cell.key] = self.states[cell.key]
        return [(block, arm, list(states.values())) for (block, arm), states in found.items()]


def rounds_done(state: CellState) -> int:
    """Rounds done, with the start counted as one; a finished cell counts in full, also if it stopped early."""
    if state.status == "finished":
        return 1 + state.cell.rounds
    return state.rounds + (1 if state.rounds else 0)


def fitting(rows: list[Arms], most: int) -> list[Arms]:
    """Rows that fit the terminal, in order: running and failed ones take precedence, then open ones."""
    if len(rows) <= most:
        return rows

    def urgency(row: Arms) -> int:
        statuses = {state.status for state in row[2]}
        if statuses & {"running", "failed"}:
            return 0
        return 2 if statuses == {"finished"} else 1

    first = sorted(range(len(rows)), key=lambda number: urgency(rows[number]))[: max(most, 1)]
    return [rows[number] for number in sorted(first)]


class StudyProgress:
    """Display of a study on a terminal or in a log."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.console = Console(highlight=False, soft_wrap=True)
        self._live: Live | None = None
        self._drawn = 0.0
        self._lines = study_lines(progress)

    @contextmanager
    def showing(self) -> Generator[None]:
        """Show the display during the block."""
        if not self.console.is_terminal:
            yield
            return
        console = Console(highlight=False)
        with Live(console=console, transient=True, auto_refresh=False) as live:
            self._live, self.console = live, console
            try:
                yield
            finally:
                self._live = None

    def tick(self, result: JobResult | None) -> None:
        """Update the display; `result` is that of a cell that has just ended."""
        if result is not None:
            self.progress.end(result)
            self._print_result(result)
        if self._live is not None and time.monotonic() - self._drawn > 0.25:
            self.progress.refresh()
            self._live.update(self._table(), refresh=True)
            self._drawn = time.monotonic()
        if self._live is None or not is_terminal(sys.stderr):
            self._lines.tick()

    def _print_result(self, ended: JobResult) -> None:
        """A line for a cell that has ended: every cell in a log, only failed ones on a terminal."""
        state = self.progress.states[ended.cell]
        total, done = len(self.progress.states), self.progress.count("finished")
        if ended.status == "finished":
            if self._live is None:
                text = f"[{done:>{len(str(total))}}/{total}] {state.cell.label}: {outcome(state)}"
                self.console.print(text, markup=False)
            return
        words = {"failed": "failed", "lost": "lost its worker and will be resumed", "busy": "waiting"}[
            ended.status
        ]
        style = "red" if ended.status == "failed" else "yellow"
        self.console.print(f"{state.cell.label}: {words}: {ended.cause}", style=style, markup=False)

    def _table(self) -> Group:
        rows = self.progress.rows()
        shown = fitting(rows, self.console.height - ROWS_AROUND)
        table = arms_table(shown)
        more = [Text(f"  … and {len(rows) - len(shown)} more", style="dim")] if shown != rows else []
        return Group(table, *more, Text(self.progress.line(), style="bold"))


def arms_table(rows: Sequence[Arms]) -> Table:
    """A row for each arm: a bar, and counts of cells and rounds. Where it is wider than the terminal, names of arms are cut."""
    blocks = any(block for block, _, _ in rows)
    cells = [_arm_cells(states) for _, _, states in rows]
    titles = [*(["block"] if blocks else []), "arm", "", "cells", "rounds", ""]
    others = [max(map(len, column)) for column in zip(("cells", "rounds", ""), *cells, strict=True)]
    if blocks:
        others.append(max(len("block"), *(len(block) for block, _, _ in rows)))
    most = max(LEAST, line_width() - sum(others) - BAR - 2 * (len(titles) - 1))
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in titles:
        table.add_column(title, justify="right" if title in {"cells", "rounds"} else "left", no_wrap=True)
    for (block, arm, states), counts in zip(rows, cells, strict=True):
        share = sum(rounds_done(s) for s in states) / max(1, sum(1 + s.cell.rounds for s in states))
        table.add_row(*([escape(block)] if blocks else []), escape(cut(arm, most)), bar(share), *counts)
    return table


def _arm_cells(states: Sequence[CellState]) -> tuple[str, str, str]:
    done = sum(s.status == "finished" for s in states)
    rounds, all_rounds = sum(s.rounds for s in states), sum(s.cell.rounds for s in states)
    return f"{done}/{len(states)}", f"{rounds}/{all_rounds}", counts_text(states)


class NullDisplay:
    """Display of `--quiet`: nothing."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    @contextmanager
    def showing(self) -> Generator[None]:
        """Show nothing."""
        yield

    def tick(self, result: JobResult | None) -> None:
        """Record the end of a cell."""
        if result is not None:
            self.progress.end(result)


class CellLines(NullDisplay):
    """A study as one JSON object a line, for scripts."""

    def __init__(self, progress: Progress) -> None:
        super().__init__(progress)
        self._lines = study_lines(progress)

    def tick(self, result: JobResult | None) -> None:
        """Print `{"event": "cell_finished", …}`, or `cell_failed`."""
        super().tick(result)
        self._lines.tick()
        if result is not None:
            state = self.progress.states[result.cell]
            more = {"cause": result.cause, "rounds_played": state.rounds}
            print_event(f"cell_{result.status}", **attrs.asdict(state.cell), **more)


def study_lines(progress: Progress) -> PlainLines:
    """Lines on standard error, at intervals, of how far the study is."""

    def line() -> str:
        progress.refresh()
        return progress.line()

    return PlainLines(line, lambda text: echo(text, err=True), progress.seconds)


def print_event(event: str, **content: Any) -> None:
    """Print an event as one line of JSON."""
    echo(json.dumps({"event": event, **content}, default=str))


def outcome(state: CellState) -> str:
    """Status and rounds: `completed after 3 rounds`."""
    return f"{state.ended} after {count_text(state.rounds, 'round')}"


def counts_text(states: Iterable[CellState]) -> str:
    """Counts of cells that are neither finished nor pending: `2 running, 1 failed`."""
    counts = Counter(state.status for state in states)
    return ", ".join(
        f"{count} {status}" for status, count in counts.items() if status not in {"finished", "pending"}
    )


def bar(share: float) -> Text:
    """A bar for a share in [0, 1]."""
    full = round(BAR * min(1.0, share))
    return Text("━" * full, style="green").append("─" * (BAR - full), style="dim")
