"""Ctrl-C and SIGTERM: a command stops at once, says how to go on, and exits with 130."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

import click

from . import EXIT_INTERRUPTED


@contextmanager
def interruptible(how_to_go_on: Callable[[], str]) -> Generator[None]:
    """Let SIGTERM end a command as Ctrl-C does; either says how to go on, and exits."""
    main = threading.current_thread() is threading.main_thread()

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt) if main else None
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"interrupted; {how_to_go_on()}", err=True)
        sys.exit(EXIT_INTERRUPTED)
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)
