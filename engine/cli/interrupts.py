"""Ctrl-C, SIGTERM and a closed terminal: a command stops at once, says how to resume, and exits with 130."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any

from .exit_codes import EXIT_INTERRUPTED
from .terminal import echo

HANGUP: int | None = getattr(signal, "SIGHUP", None)
"""The signal of a closed terminal; None on systems without it."""


@contextmanager
def interruptible(how_to_resume: Callable[[], str]) -> Generator[None]:
    """Let SIGTERM and SIGHUP end a command like Ctrl-C: print how to resume, and exit with 130.

    A SIGHUP that was ignored at the start, as under nohup, stays ignored.
    """
    before = dict[int, Any]()

    def interrupt(number: int, frame: object) -> None:
        if number == HANGUP:
            # Shell and kernel may both send it; the second one must not interrupt the cleanup.
            signal.signal(number, signal.SIG_IGN)
            _detach_output()
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, HANGUP):
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        echo(f"interrupted; {how_to_resume()}", err=True)
        sys.exit(EXIT_INTERRUPTED)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _detach_output() -> None:
    """Redirect output to the null device if its terminal or reader is gone: a write error would hide the interruption."""
    for descriptor in (1, 2):
        poll = select.poll()
        poll.register(descriptor, 0)
        with suppress(OSError):
            if poll.poll(0):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, descriptor)
                os.close(null)
