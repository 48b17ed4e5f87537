"""The local stand-in for a queue: submitit's local executor, in processes that outlive the one that submits.

Run as a module it is a process between the two: a session of its own, so that what is queued neither ends with the terminal
nor keeps the pipes of the command open.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...engine.errors import RunError
from ._queued import Cell

LOG = "controllers.log"


def submit(
    folder: Path,
    jobs: Sequence[dict[str, Any]],
    parameters: Mapping[str, Any],
    timeouts: int,
    pinned: Mapping[str, str],
) -> list[str]:
    """Start a process for every job; their ids, in order. Raises `RunError` with what was said if they cannot be started."""
    folder.mkdir(parents=True, exist_ok=True)
    request = {"folder": str(folder), "jobs": jobs, "parameters": parameters, "timeouts": timeouts}
    done = subprocess.run(  # noqa: S603 - this module
        [sys.executable, "-m", __name__],
        input=json.dumps(request),
        env={**os.environ, **pinned},
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
    )
    if done.returncode:
        raise RunError(f"executor slurm: nothing could be queued: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout)


def gone(folder: Path, numbers: Iterable[str]) -> dict[str, str]:
    """Jobs whose process is no more, and how to say so."""
    return {number: "its process has ended" for number in numbers if not _runs(folder, number)}


def cancel(folder: Path, numbers: Iterable[str]) -> None:
    """Interrupt the controllers of jobs; each takes its cell with it, within about a second."""
    for number in numbers:
        if _runs(folder, number):
            with suppress(ProcessLookupError):
                os.kill(int(number), signal.SIGINT)


def _runs(folder: Path, number: str) -> bool:
    """Whether a job's process is there, and is not another's that was given the same number later."""
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, PermissionError):
        return False
    try:
        words = Path(f"/proc/{number}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:  # no such file system: the number has to do
        return not Path("/proc/self").exists()
    return str(folder.absolute()) in words


def main() -> None:
    """Read jobs, start them, answer with their ids."""
    from submitit import LocalExecutor  # noqa: PLC0415 - an extra

    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # it may be ignored here, and cancelling needs it there
    request = json.load(sys.stdin)
    folder = Path(request["folder"])
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with (folder / LOG).open("a", encoding="utf-8") as log:
        for descriptor in (1, 2):
            os.dup2(log.fileno(), descriptor)
    executor = LocalExecutor(folder, max_num_timeout=request["timeouts"])
    executor.update_parameters(**request["parameters"])
    jobs = executor.map_array(Cell(), request["jobs"])
    answers.write(json.dumps([str(job.job_id) for job in jobs]))
    answers.close()


if __name__ == "__main__":
    main()
