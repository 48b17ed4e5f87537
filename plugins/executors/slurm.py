"""Cells on a Slurm cluster, through submitit."""

from __future__ import annotations

import logging
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import attrs

from ...engine.contracts import Job, JobResult
from ...engine.errors import RunError, UsageError
from ...engine.foundation.hardware import pinned
from ...engine.foundation.options import Limit, option, whole
from ...engine.hookspecs import hookimpl
from ...engine.sdk.libraries import require_libraries
from . import _local_queue
from ._queued import FOLDER, Cell, lost_result, read_result, write_result

COMMANDS = ("sbatch", "srun", "sacct", "scancel")
ARRAY_SIZE = 500
"""Maximum cells of a job array; clusters usually allow 1,000 or more."""
SIGNAL_DELAY = 90
"""Seconds before the time limit at which a cell is signalled and requeued."""
FILE_VISIBILITY_DELAY = 2.0
"""Seconds for which a shared file system may not show files written by another machine."""


def _is_setting(text: str) -> bool:
    return bool(text.partition("=")[0].strip()) and "=" in text


@attrs.frozen(kw_only=True)
class Slurm:
    """Job arrays that outlive the command; a cell that is preempted or reaches its time limit is requeued and resumes.

    Tested with submitit's local executor and with fake Slurm commands, not yet on a real cluster.
    """

    remote: ClassVar[bool] = True

    cluster: Literal["slurm", "local", "debug"] = option(
        "slurm",
        "slurm; local: processes on this machine, all at once; debug: in this process, one after another",
    )
    partition: str = option("", "partition; empty: the cluster's default")
    account: str = option("", "account to charge")
    qos: str = option("", "quality of service")
    minutes: int = option(
        60, "time limit of a cell in minutes; at the limit it is requeued and resumes", whole
    )
    timeouts: int = option(10, "maximum requeues of a cell after its time limit", min=0)
    cpus: int = option(1, "CPUs, and threads, per cell", min=1)
    gpus: int = option(0, "GPUs per cell", min=0)
    memory: float = option(0.0, "memory per cell in GiB; 0: the cluster's default", min=0.0)
    parallel: int = option(0, "maximum cells of an array at a time; 0: no limit", min=0)
    setup: tuple[str, ...] = option(
        (), "shell lines run before Python, such as module load cuda (slurm only)"
    )
    sbatch: tuple[str, ...] = option(
        (),
        "more sbatch options, each KEY=VALUE, such as constraint=a100",
        Limit("KEY=VALUE", _is_setting),
    )

    def check(self) -> None:
        """Raise `UsageError` if submitit or Slurm's commands are missing."""
        require_libraries("executor slurm", "slurm", "submitit")
        missing = [command for command in COMMANDS if shutil.which(command) is None]
        if self.cluster == "slurm" and missing:
            raise UsageError(
                f"executor slurm: {', '.join(missing)} cannot be found, so cells cannot be queued from this machine; "
                'log in to one of the cluster\'s, or try it out with the option cluster = "local"'
            )

    def submit(self, jobs: Sequence[Job]) -> Mapping[str, str]:
        """Queue all jobs, in as few arrays as clusters take; ids by cell. Raises `RunError` if the queue refuses them."""
        self.check()
        ids = dict[str, str]()
        for first in range(0, len(jobs), ARRAY_SIZE):
            some = jobs[first : first + ARRAY_SIZE]
            try:
                job_ids = self._submit(Path(some[0].study).absolute() / FOLDER, some)
            except RunError:
                self.cancel(some[0].study, ids)  # the caller would not get their ids
                raise
            ids |= dict(zip((job.cell for job in some), job_ids, strict=True))
        return ids

    def poll(self, study: str, ids: Mapping[str, str]) -> Mapping[str, JobResult | None]:
        """Results by cell: None while a job is queued or running, a lost cell if it ended without a result."""
        folder = Path(study).absolute() / FOLDER
        found = {cell: read_result(folder, job_id, cell) for cell, job_id in ids.items()}
        unsure = {job_id: cell for cell, job_id in ids.items() if found[cell] is None}
        gone = self._ended_jobs(folder, unsure) if unsure else {}
        if gone and self.cluster == "slurm":
            time.sleep(FILE_VISIBILITY_DELAY)
        for job_id, state in gone.items():
            cell = unsure[job_id]
            found[cell] = read_result(folder, job_id, cell) or lost_result(folder, job_id, cell, state)
        return found

    def cancel(self, study: str, ids: Mapping[str, str]) -> None:
        """Cancel queued and running cells; their finished rounds remain."""
        folder = Path(study).absolute() / FOLDER
        waiting = [job_id for cell, job_id in ids.items() if read_result(folder, job_id, cell) is None]
        if self.cluster == "local":
            _local_queue.cancel(folder, waiting)
        elif self.cluster == "slurm" and waiting:
            done = subprocess.run(["scancel", *waiting], check=False, capture_output=True, text=True)  # noqa: S603, S607
            if done.returncode:
                raise RunError(f"executor slurm: scancel: {done.stderr.strip()}")

    def _submit(self, folder: Path, jobs: Sequence[Job]) -> list[str]:
        contents = [attrs.asdict(job) for job in jobs]
        if self.cluster == "debug":
            return [_run_inline(folder, job) for job in jobs]
        if self.cluster == "local":
            parameters = {
                "timeout_min": self.minutes,
                "gpus_per_node": self.gpus,
                "signal_delay_s": self._signal_delay,
            }
            return _local_queue.submit(folder, contents, parameters, self.timeouts, pinned(self.cpus))
        from submitit import SlurmExecutor  # noqa: PLC0415 - an extra

        executor = SlurmExecutor(folder, max_num_timeout=self.timeouts)
        executor.update_parameters(**self._submitit_parameters())
        try:
            return [str(job.job_id) for job in executor.map_array(Cell(), contents)]
        except Exception as error:  # submitit raises several types
            message = str(error).strip() or type(error).__name__
            raise RunError(f"executor slurm: sbatch took no job: {message}") from error

    def _submitit_parameters(self) -> dict[str, Any]:
        """Submitit's parameters, with Slurm's names."""
        threads = [f"export {name}={value}" for name, value in pinned(self.cpus).items()]
        named = {
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "gpus_per_node": self.gpus,
            "mem": f"{self.memory * 1024:.0f}M" if self.memory else "",
            "additional_parameters": dict(text.split("=", 1) for text in self.sbatch),
        }
        return {
            "job_name": "boostlora",
            "time": self.minutes,
            "cpus_per_task": self.cpus,
            "signal_delay_s": self._signal_delay,
            "array_parallelism": self.parallel or ARRAY_SIZE,
            "setup": [*threads, *self.setup],
            **{key: value for key, value in named.items() if value},
        }

    @property
    def _signal_delay(self) -> int:
        """Seconds between signal and time limit; at most half the limit, otherwise a short cell would be signalled at its start."""
        return min(SIGNAL_DELAY, 30 * self.minutes)

    def _ended_jobs(self, folder: Path, job_ids: Iterable[str]) -> dict[str, str]:
        """Jobs that are neither queued nor running, with their final states."""
        if self.cluster == "local":
            return _local_queue.ended_jobs(folder, job_ids)
        if self.cluster == "debug":
            return dict.fromkeys(job_ids, "the process that ran it was ended")
        return _final_states(job_ids)


def _run_inline(folder: Path, job: Job) -> str:
    """Run a cell in this process; its id depends on the cell alone."""
    from ...engine.study.cell_runner import run_cell  # noqa: PLC0415 - heavy, and only for this

    job_id = f"debug-{job.cell}"
    write_result(folder, job_id, run_cell(job))
    return job_id


def _final_states(job_ids: Iterable[str]) -> dict[str, str]:
    """Ended jobs with their Slurm states, by one call of sacct.

    A job unknown to sacct, because it is new or accounting is off, counts as queued.
    """
    from submitit import SlurmJob  # noqa: PLC0415 - an extra

    logging.getLogger("submitit").setLevel(logging.ERROR)  # a failed call is repeated at the next poll
    watcher, job_ids = (
        type(SlurmJob.watcher)(),
        list(job_ids),
    )  # the shared watcher never updates a job that has ended
    for job_id in job_ids:
        watcher.register_job(job_id)
    watcher.update()
    ended = [job_id for job_id in job_ids if watcher.is_done(job_id, mode="cache")]
    return {job_id: watcher.get_state(job_id, mode="cache") for job_id in ended}


@hookimpl
def register_executors(register: Callable[[str, type[Any]], None]) -> None:
    """Register `slurm`."""
    register("slurm", Slurm)
