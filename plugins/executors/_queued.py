"""Cells queued through submitit, which can be interrupted and requeued, and the files of their results."""

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
"""Folder of scripts, logs and results, in the study's folder."""
STOP_SIGNALS = (signal.SIGUSR1, signal.SIGUSR2)
"""Signals that submitit handles: preemption, and the end of the time limit."""


class Cell:
    """Runs a cell in a queued job."""

    def __call__(self, job: dict[str, Any]) -> str:
        """Run the cell, and write its result as JSON: polling never unpickles."""
        import submitit  # noqa: PLC0415 - an extra

        from ...engine.study.cell_runner import run_cell  # noqa: PLC0415 - heavy, and needed by the worker alone

        with _interruptible():
            result = run_cell(cattrs.structure(job, Job))
        write_result(Path(job["study"]) / FOLDER, submitit.JobEnvironment().job_id, result)
        return result.status

    def checkpoint(self, job: dict[str, Any]) -> Any:
        """Requeue the same cell, which resumes after its last finished round; submitit's protocol."""
        from submitit.helpers import DelayedSubmission  # noqa: PLC0415 - an extra

        return DelayedSubmission(self, job)


@contextmanager
def _interruptible() -> Generator[None]:
    """Let submitit interrupt a cell at any point.

    Its handler requeues the job and raises SystemExit, which a plugin's code, or the engine's guard around it, could mistake for a
    failure of the plugin. A KeyboardInterrupt is never caught, so it is raised instead; submitit's own exception is raised outside.
    """
    handlers, raised = {number: signal.getsignal(number) for number in STOP_SIGNALS}, list[BaseException]()

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


def write_result(folder: Path, job_id: str, result: JobResult) -> None:
    """Write the result of a cell."""
    write_text(_result_path(folder, job_id, result.cell), json.dumps(attrs.asdict(result)) + "\n")


def read_result(folder: Path, job_id: str, cell: str) -> JobResult | None:
    """The result of a job; None while there is none."""
    try:
        return cattrs.structure(
            json.loads(_result_path(folder, job_id, cell).read_text(encoding="utf-8")), JobResult
        )
    except FileNotFoundError:
        return None


def lost_result(folder: Path, job_id: str, cell: str, state: str) -> JobResult:
    """The result of a job that ended without one, with the last line of its log as a possible cause."""
    try:
        log = (folder / f"{job_id}_0_log.err").read_text(encoding="utf-8", errors="replace")
    except OSError:
        log = ""
    last_line = next(
        (f"; its log ends: {line.strip()}" for line in reversed(log.splitlines()) if line.strip()), ""
    )
    return JobResult(cell=cell, status="lost", cause=f"job {job_id} is gone: {state}{last_line}")


def _result_path(folder: Path, job_id: str, cell: str) -> Path:
    return folder / f"{job_id}_{cell}.json"
