"""What a person sees of a study at work: a line an arm with its cells and rounds, time left; in a log, a line a cell."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any

import attrs
from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ..contracts import JobResult
from ..study.states import CellState
from .console import Console
from .progress import Progress, fitting, rounds_behind
from .terminal import echo

BAR = 24
ROWS_AROUND = 5
"""Lines that the display needs beside its arms."""
COLOURS = {"finished": "green", "failed": "red", "running": "cyan", "interrupted": "yellow", "pending": "dim"}


class StudyProgress:
    """The display of a study on a terminal, or in a log."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.console = Console(highlight=False, soft_wrap=True)
        self._live: Live | None = None
        self._drawn = 0.0

    @contextmanager
    def showing(self) -> Generator[None]:
        """Show it while inside."""
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

    def tick(self, ended: JobResult | None) -> None:
        """Something may have changed."""
        if ended is not None:
            self.progress.end(ended)
            self._say(ended)
        if self._live is not None and time.monotonic() - self._drawn > 0.25:
            self.progress.look()
            self._live.update(self._picture(), refresh=True)
            self._drawn = time.monotonic()

    def _say(self, ended: JobResult) -> None:
        """A line for a cell that has ended: all of them in a log, on a terminal only what went wrong."""
        state = self.progress.states[ended.cell]
        total, done = len(self.progress.states), self.progress.count("finished")
        if ended.status == "finished":
            if self._live is None:
                text = f"[{done:>{len(str(total))}}/{total}] {state.cell.label}: {outcome(state)}"
                self.console.print(text, markup=False)
            return
        words = {"failed": "failed", "lost": "lost its worker, and will go on", "busy": "waits"}[ended.status]
        style = "red" if ended.status == "failed" else "yellow"
        self.console.print(f"{state.cell.label}: {words}: {ended.cause}", style=style, markup=False)

    def _picture(self) -> Group:
        table = Table(box=None, header_style="bold", pad_edge=False)
        for title in ("block", "arm", "", "cells", "rounds", ""):
            table.add_column(title, justify="right" if title in {"cells", "rounds"} else "left")
        rows = self.progress.rows()
        table.columns[0].header = "block" if any(block for block, _, _ in rows) else ""
        shown = fitting(rows, self.console.height - ROWS_AROUND)
        for block, arm, states in shown:
            done = sum(s.status == "finished" for s in states)
            played, all_rounds = sum(s.rounds for s in states), sum(s.cell.rounds for s in states)
            share = sum(rounds_behind(s) for s in states) / max(1, sum(1 + s.cell.rounds for s in states))
            table.add_row(
                escape(block),
                escape(arm),
                bar(share),
                f"{done}/{len(states)}",
                f"{played}/{all_rounds}",
                told(states),
            )
        more = [Text(f"  … and {len(rows) - len(shown)} more", style="dim")] if shown != rows else []
        return Group(table, *more, Text(self._foot(), style="bold"))

    def _foot(self) -> str:
        progress = self.progress
        parts = [
            f"{progress.count('finished')} of {len(progress.states)} cells",
            f"{progress.count('running')} running",
        ]
        if failed := progress.count("failed"):
            parts.append(f"{failed} failed")
        parts.append(f"{duration(time.monotonic() - progress.began)} so far")
        if progress.left:
            parts.append(f"about {duration(max(1.0, progress.left))} left")
        return " · ".join(parts)


class NullDisplay:
    """For `--quiet`: it only keeps count."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    @contextmanager
    def showing(self) -> Generator[None]:
        """Nothing is drawn."""
        yield

    def tick(self, ended: JobResult | None) -> None:
        """Something may have changed."""
        if ended is not None:
            self.progress.end(ended)


class CellLines(NullDisplay):
    """A study as one JSON object a line, for scripts."""

    def tick(self, ended: JobResult | None) -> None:
        """`{"event": "cell_finished", …}`, and the like."""
        super().tick(ended)
        if ended is not None:
            state = self.progress.states[ended.cell]
            more = {"cause": ended.cause, "rounds_played": state.rounds}
            say(f"cell_{ended.status}", **attrs.asdict(state.cell), **more)


def say(event: str, **content: Any) -> None:
    """One event as a line of JSON."""
    echo(json.dumps({"event": event, **content}, default=str))


def outcome(state: CellState) -> str:
    """How a cell ended, in words."""
    return f"{state.ended} after {state.rounds} round{'s' * (state.rounds != 1)}"


def told(states: Iterable[CellState]) -> str:
    """Counts of what is not simply finished: `2 running, 1 failed`."""
    counts = Counter(state.status for state in states)
    return ", ".join(
        f"{count} {status}" for status, count in counts.items() if status not in {"finished", "pending"}
    )


def bar(share: float) -> Text:
    """A share as a bar."""
    full = round(BAR * min(1.0, share))
    return Text("━" * full, style="green").append("─" * (BAR - full), style="dim")


def duration(seconds: float) -> str:
    """`8 s`, `1 min 10 s`, `2 h 5 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
