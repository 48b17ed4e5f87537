"""Ctrl-C, SIGTERM and a closed terminal: a command stops at once, says how to go on, and exits with 130."""

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
"""What a closed terminal sends; None where the system has none."""


@contextmanager
def interruptible(how_to_go_on: Callable[[], str]) -> Generator[None]:
    """Let SIGTERM and SIGHUP end a command as Ctrl-C does; each says how to go on, and exits.

    A SIGHUP that was ignored when the command began, as under nohup, stays ignored.
    """
    before = dict[int, Any]()

    def interrupt(number: int, frame: object) -> None:
        if number == HANGUP:
            # Shell and kernel may both send it; the end must not be disturbed.
            signal.signal(number, signal.SIG_IGN)
            _let_go()
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, HANGUP):
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        echo(f"interrupted; {how_to_go_on()}", err=True)
        sys.exit(EXIT_INTERRUPTED)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _let_go() -> None:
    """Write to nowhere where the terminal, or whoever read what is printed, is gone: an error would hide the interruption."""
    for descriptor in (1, 2):
        look = select.poll()
        look.register(descriptor, 0)
        with suppress(OSError):
            if look.poll(0):
                gone = os.open(os.devnull, os.O_WRONLY)
                os.dup2(gone, descriptor)
                os.close(gone)
