"""Progress of commands that are usually quick."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..foundation.run_context import Report

PATIENCE = 2.0
"""Seconds before progress is shown."""


@contextmanager
def late_progress() -> Generator[Report]:
    """Progress on standard error once the work takes longer than `PATIENCE`, where that is a terminal."""
    began, bar = time.monotonic(), list[Callable[[int, int], None]]()
    with ExitStack() as stack:

        def report(what: str, done: int, total: int) -> None:
            if not bar:
                if time.monotonic() - began < PATIENCE:
                    return
                bar.append(_start_bar(what, stack))
            bar[0](done, total)

        yield report


def _start_bar(what: str, stack: ExitStack) -> Callable[[int, int], None]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from .console import Console

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = stack.enter_context(progress).add_task(what, total=None)
    return lambda done, total: progress.update(task, completed=done, total=total or None)
