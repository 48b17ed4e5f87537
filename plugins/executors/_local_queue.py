"""A local substitute for a queue: submitit's local executor, with jobs that outlive the submitting process.

Run as a module, it starts the jobs from a session of its own, so that they neither end with the terminal nor keep the
command's pipes open.
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
    """Start a process for every job; their ids, in order. Raises `RunError` with the error output if they cannot be started."""
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


def ended_jobs(folder: Path, job_ids: Iterable[str]) -> dict[str, str]:
    """Jobs whose process has ended, with a description."""
    return {job_id: "its process has ended" for job_id in job_ids if not _is_running(folder, job_id)}


def cancel(folder: Path, job_ids: Iterable[str]) -> None:
    """Interrupt the controllers of jobs; each ends its cell within about a second."""
    for job_id in job_ids:
        if _is_running(folder, job_id):
            with suppress(ProcessLookupError):
                os.kill(int(job_id), signal.SIGINT)


def _is_running(folder: Path, job_id: str) -> bool:
    """Whether a job's process exists, and is not another process that reuses its id."""
    try:
        os.kill(int(job_id), 0)
    except (ProcessLookupError, PermissionError):
        return False
    try:
        words = Path(f"/proc/{job_id}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:  # no /proc: only the id can be checked
        return not Path("/proc/self").exists()
    return str(folder.absolute()) in words


def main() -> None:
    """Read jobs from stdin, start them, write their ids to stdout."""
    from submitit import LocalExecutor  # noqa: PLC0415 - an extra

    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # jobs inherit the handler, and cancelling needs SIGINT
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
