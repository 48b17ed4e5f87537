"""Progress on standard error: a line that moves on a terminal, plain lines at intervals in a log."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from typing import IO, TYPE_CHECKING, Any, cast

from .progress import Clock, Work
from .terminal import safe
from .units import duration

if TYPE_CHECKING:
    from rich.text import Text

    from ..foundation.run_context import Report
    from .console import Console

FIRST = 5.0
"""Seconds before the first line in a log: loading the libraries has taken some already."""
EVERY = 8.0
"""Seconds between two lines in a log."""
WAKE = 1.0
"""Seconds between two looks at the clock."""
PATIENCE = 2.0
"""Seconds before a command that is usually quick shows progress on a terminal."""
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
BAR = 10
"""Characters of the bar."""


class PlainLines:
    """Prints the work's line at intervals, without control characters. A closed stream ends the lines, not the work."""

    def __init__(
        self, line: Callable[[], str], write: Callable[[str], None], clock: Clock = time.monotonic
    ) -> None:
        self._line, self._write, self._clock = line, write, clock
        self._last = clock() - EVERY + FIRST
        self.closed = False

    def tick(self) -> None:
        """Print a line if one is due."""
        now = self._clock()
        if self.closed or now - self._last < EVERY:
            return
        self._last = now
        try:
            self._write(self._line())
        except (OSError, ValueError):
            self.closed = True


@contextmanager
def shown(work: Work, console: Console | None = None, patience: float = 0.0) -> Generator[Report]:
    """Show the work's progress during the block: yields its `report`.

    `console` prints the command's results. Where it is a terminal, the moving line has to be on it as well, or both would overwrite
    each other. On a terminal nothing is shown before `patience` seconds.
    """
    with ExitStack() as stack:
        results = console if console is not None and console.is_terminal and is_terminal(sys.stdout) else None
        if not is_terminal(sys.stderr):
            stack.enter_context(_plain_lines(work))
        if results is not None or is_terminal(sys.stderr):
            stack.enter_context(_moving_line(work, results, patience))
        yield work.report


def late_progress() -> Any:
    """Progress of commands that are usually quick: nothing on a terminal before `PATIENCE` seconds."""
    return shown(Work(), patience=PATIENCE)


def is_terminal(stream: IO[str]) -> bool:
    """Whether a stream is a terminal that can move its cursor; a closed stream is none."""
    with suppress(ValueError, OSError):
        return stream.isatty() and os.environ.get("TERM", "") not in {"dumb", "unknown"}
    return False


@contextmanager
def _plain_lines(work: Work) -> Generator[None]:
    stream = sys.stderr  # code that silences a library replaces sys.stderr for a while
    lines = PlainLines(work.line, lambda text: _write_line(stream, text), work.clock)
    with _repeated(lines.tick, WAKE):
        yield


@contextmanager
def _repeated(act: Callable[[], None], seconds: float) -> Generator[None]:
    """Call a function at intervals during the block, in a thread: a long computation reports nothing by itself."""
    end = threading.Event()

    def repeat() -> None:
        while not end.wait(seconds):
            act()

    thread = threading.Thread(target=repeat, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join(WAKE)  # it may be stuck in a pipe that nobody reads


@contextmanager
def _moving_line(work: Work, results: Console | None, patience: float) -> Generator[None]:
    """A line that is redrawn and removed at the end. It starts in a thread, since the work may not report for long."""
    from rich.live import Live

    from .console import Console

    console = results or Console(file=cast("IO[str]", _Forgiving(sys.stderr)), highlight=False)
    live = Live(
        console=console,
        transient=True,
        redirect_stdout=is_terminal(sys.stdout),
        get_renderable=lambda: moving_text(work, console.width),
    )
    started, begin = threading.Lock(), work.clock() + patience
    state = {"open": True, "live": False}

    def start() -> None:
        with started:
            if state["open"] and not state["live"] and work.clock() >= begin:
                state["live"] = True
                live.start()

    start()
    try:
        with _repeated(start, WAKE) if patience else nullcontext():
            yield
    finally:
        with started:
            state["open"] = False
        if state["live"]:
            live.stop()


def moving_text(work: Work, width: int) -> Text:
    """Phase, bar, time left and rate, as far as they fit the width."""
    from rich.text import Text

    first, *rest = work.parts()
    elapsed = work.clock() - work.began
    turn = SPINNER[int(4 * elapsed) % len(SPINNER)]
    text = Text(f"{turn} {safe(first)}", no_wrap=True, overflow="ellipsis")
    if (share := work.share) is not None and text.cell_len + BAR + 1 < width:
        full = round(BAR * share)
        text.append(" ").append("━" * full, style="green").append("─" * (BAR - full), style="dim")
    for part in (*rest, f"{duration(elapsed)} so far"):
        if text.cell_len + 3 + len(part) < width:
            text.append(f" · {part}")
    return text


class _Forgiving:
    """A stream whose errors of writing are ignored: a closed terminal ends the display, not the work."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text."""
        with suppress(OSError, ValueError):
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush."""
        with suppress(OSError, ValueError):
            self._stream.flush()


def _write_line(stream: IO[str], text: str) -> None:
    stream.write(f"{safe(text)}\n")
    stream.flush()
