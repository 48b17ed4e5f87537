"""What is queued through submitit: a cell that can be stopped and queued again, and the note of what became of it."""

from __future__ import annotations

import json
import signal
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import attrs
import cattrs

from ...engine.contracts import Job, JobResult
from ...engine.foundation.atomic import write_text

FOLDER = "submitit"
"""Folder of scripts, logs and notes, in the study's."""
TOLD = (signal.SIGUSR1, signal.SIGUSR2)
"""Signals by which submitit is told that the machine is taken away, or the time is up."""


class Cell:
    """Plays a cell, wherever the queue starts it."""

    def __call__(self, job: dict[str, Any]) -> str:
        """Play, and leave what became of it in a file: whoever polls reads JSON, and never unpickles."""
        import submitit  # noqa: PLC0415 - an extra

        from ...engine.study.cell_runner import run_cell  # noqa: PLC0415 - heavy, and needed by the worker alone

        with _stoppable():
            ended = run_cell(cattrs.structure(job, Job))
        leave(Path(job["study"]) / FOLDER, submitit.JobEnvironment().job_id, ended)
        return ended.status

    def checkpoint(self, job: dict[str, Any]) -> Any:
        """The same again, since playing goes on after the last finished round; submitit's protocol."""
        from submitit.helpers import DelayedSubmission  # noqa: PLC0415 - an extra

        return DelayedSubmission(self, job)


@contextmanager
def _stoppable() -> Generator[None]:
    """Let submitit end a cell in the middle of whatever it is doing.

    Its handler raises SystemExit once the job is queued again, which a plugin's code, or the engine's guard around it, may take
    for a failure of the plugin. Nobody takes a KeyboardInterrupt for one; what submitit raised is raised when it has come through.
    """
    handlers, raised = {number: signal.getsignal(number) for number in TOLD}, list[BaseException]()

    def stop(number: int, frame: FrameType | None) -> None:
        handler = handlers[signal.Signals(number)]
        try:
            if callable(handler):
                handler(number, frame)
        except BaseException as error:
            raised.append(error)
            raise KeyboardInterrupt from error

    for number, handler in handlers.items():
        if callable(handler):
            signal.signal(number, stop)
    try:
        yield
    except KeyboardInterrupt:
        if raised:
            raise raised[0] from None
        raise
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def leave(folder: Path, number: str, ended: JobResult) -> None:
    """Write down what became of a cell, for whoever polls."""
    write_text(_note(folder, number, ended.cell), json.dumps(attrs.asdict(ended)) + "\n")


def left(folder: Path, number: str, cell: str) -> JobResult | None:
    """What a job left; None while it has left nothing."""
    try:
        return cattrs.structure(
            json.loads(_note(folder, number, cell).read_text(encoding="utf-8")), JobResult
        )
    except FileNotFoundError:
        return None


def lost(folder: Path, number: str, cell: str, state: str) -> JobResult:
    """A job that is gone and left nothing; its log's last line may say why."""
    try:
        log = (folder / f"{number}_0_log.err").read_text(encoding="utf-8", errors="replace")
    except OSError:
        log = ""
    said = next(
        (f"; its log ends: {line.strip()}" for line in reversed(log.splitlines()) if line.strip()), ""
    )
    return JobResult(cell=cell, status="lost", cause=f"job {number} is gone: {state}{said}")


def _note(folder: Path, number: str, cell: str) -> Path:
    return folder / f"{number}_{cell}.json"
