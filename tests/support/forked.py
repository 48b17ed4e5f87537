"""Processes that share a run, forked from this one: what this process has imported they need not import again.

They find the environment that torchrun would give them. What torchrun itself does, ending all when one has failed, is not here.
"""

from __future__ import annotations

import os
import runpy
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from .commands import PATIENCE, Answer, exit_code


def forked(count: int, main: Callable[[], object], folder: Path, **environment: str) -> Answer:
    """Call `main` in so many processes that work in `folder`; what all of them printed is put together.

    The exit code is 0 where every process ended with 0, else that of the first that did not. A process that does not end is
    killed.
    """
    shared = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1"}
    shared |= {"MASTER_PORT": str(_free_port()), "OMP_NUM_THREADS": "1", **environment}
    children = [
        _fork(main, folder, rank, {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(count)
    ]
    codes = _codes(children)
    out, err = (
        "".join((folder / f"{rank}.{kind}").read_text() for rank in range(count)) for kind in ("out", "err")
    )
    return Answer(next((code for code in codes if code), 0), out, err)


def cut_short(main: Callable[[], object], folder: Path, seconds: float | None = None) -> tuple[int, float]:
    """Call `main` in a process that the system ends after so many seconds of CPU time, however it is then.

    Its exit code, negative where it was ended, and the CPU seconds that it took.
    """
    child = _fork(lambda: _mortal(main, seconds), folder, 0, {})
    _, status, usage = os.wait4(child, 0)
    return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime


def _mortal(main: Callable[[], object], seconds: float | None) -> None:
    """Call it with timers whose signals nobody handles: one of CPU time, and one that bounds a hang."""
    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, seconds or 0.0)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    main()


def run_script(path: Path, *arguments: str | Path) -> None:
    """Run a Python file as the main program, with these arguments."""
    sys.argv = [str(path), *map(str, arguments)]
    runpy.run_path(str(path), run_name="__main__")


def _fork(main: Callable[[], object], folder: Path, rank: int, environment: dict[str, str]) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    if child := os.fork():
        return child
    code = 1
    try:  # nothing of pytest's must run in the child
        os.chdir(folder)
        os.environ.update(environment)
        for number, kind in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{rank}.{kind}", os.O_CREAT | os.O_WRONLY | os.O_TRUNC), number)
        sys.stdout, sys.stderr = (os.fdopen(os.dup(number), "w", encoding="utf-8") for number in (1, 2))
        code = exit_code(main)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _codes(children: list[int]) -> list[int]:
    """Exit codes; a process that was killed has that of a shell."""
    codes, until = dict[int, int](), time.monotonic() + PATIENCE
    while len(codes) < len(children):
        for child in children:
            ended, status = (0, 0) if child in codes else os.waitpid(child, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                codes[child] = code if code >= 0 else 128 - code
            elif child not in codes and time.monotonic() > until:
                os.kill(child, 9)
        time.sleep(0.01)
    return [codes[child] for child in children]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
