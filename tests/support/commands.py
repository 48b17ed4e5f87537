"""The command line, called in this process or started as a process of its own."""

from __future__ import annotations

import contextlib
import io
import math
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from .places import ROOT

SCRIPT = Path(sys.executable).with_name("boostlora")
"""The installed console script."""
PATIENCE = 300.0
"""Seconds after which a process is given up; it bounds a hang, and no process comes near it on a busy machine."""

PROGRESS = re.compile(r"^(?:\d+ h )?(?:\d+ min )?(?:\d+ s )?· .*\n", re.MULTILINE)
"""A line of progress in a log: how many a process of its own prints depends on the speed of the machine."""


class Answer(NamedTuple):
    """What a command said, under the names that `subprocess` gives it."""

    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Answer]


def boostlora(*arguments: str | Path, cwd: Path | None = None, workers: bool = False) -> Answer:
    """Call the entry point in this process, where what is imported stays imported.

    Args:
        arguments: What follows `boostlora`.
        cwd: The folder in which the command works; without one, the current folder.
        workers: Whether a study's cells get worker processes, as they do for users; otherwise they run here as well.
    """
    from boostlora.engine.cli import main

    cells = contextlib.nullcontext() if workers else _cells_in_this_process()
    with cells, _no_progress_in_logs():
        return _called(main, ["boostlora", *map(str, arguments)], cwd or Path.cwd())


def script(path: str | Path, *arguments: str | Path, cwd: Path) -> Answer:
    """Run a Python file in this process, as `python path arguments` does in a folder."""

    def main() -> None:
        runpy.run_path(str(path), run_name="__main__")

    return _called(main, [str(path), *map(str, arguments)], cwd)


def boostlora_process(
    *arguments: str | Path, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = PATIENCE
) -> subprocess.CompletedProcess[str]:
    """Start the installed console script, as users do, and wait for its end."""
    command = [SCRIPT, *arguments]
    environment = {**os.environ, **(env or {})}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )
    done.stderr = PROGRESS.sub("", done.stderr)
    return done


def python(
    *arguments: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Start Python with these arguments and wait for its end; it can import `tests` as this process does."""
    command = [sys.executable, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


@contextlib.contextmanager
def _no_progress_in_logs() -> Iterator[None]:
    """No lines of progress: how many there are depends on the speed of the machine."""
    from boostlora.engine.cli import progress_display

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress_display, "FIRST", math.inf)
        yield


@contextlib.contextmanager
def _cells_in_this_process() -> Iterator[None]:
    """Let the executor `local` run its cells here; its worker processes have a suite of their own."""
    from boostlora.engine.study import cell_runner as playing
    from boostlora.plugins.executors.local import Local

    playing._registry.cache_clear()  # a worker reads plugins anew
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Local, "run", lambda _, jobs: (playing.run_cell(job) for job in jobs))
        yield


def _called(main: Callable[[], object], argv: list[str], cwd: Path) -> Answer:
    """What a function prints and exits with that is called as the main program of a process."""
    out, err = _stream(), _stream()
    with (
        contextlib.chdir(cwd),
        _restored(argv),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        returncode = exit_code(main)
    return Answer(returncode, _text(out), _text(err))


def exit_code(main: Callable[[], object]) -> int:
    """What the interpreter would exit with."""
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


@contextlib.contextmanager
def _restored(argv: list[str]) -> Iterator[None]:
    """Set the arguments of the process, and afterwards put back what a command may change of this one."""
    before = sys.argv, dict(os.environ)
    sys.argv = argv
    try:
        yield
    finally:
        sys.argv = before[0]
        os.environ.clear()
        os.environ.update(before[1])


def _stream() -> io.TextIOWrapper:
    """A stream that can be reconfigured, as those of a process can."""
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)


def _text(stream: io.TextIOWrapper) -> str:
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode("utf-8")
