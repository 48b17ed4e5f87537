"""Queue cells on a Slurm cluster, through submitit."""

from __future__ import annotations

import logging
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal

import attrs

from ...engine.contracts import Job, JobResult
from ...engine.errors import RunError, UsageError
from ...engine.foundation.hardware import pinned
from ...engine.foundation.options import Limit, option, whole
from ...engine.hookspecs import hookimpl
from . import _local_queue
from ._queued import FOLDER, Cell, leave, left, lost

COMMANDS = ("sbatch", "srun", "sacct", "scancel")
ARRAY = 500
"""Cells of one job array; clusters allow 1,000 and more."""
WARNING = 90
"""Seconds before the end of its time at which a cell is told, and goes back into the queue."""
SETTLE = 2.0
"""Seconds for which a shared file system may hide what another machine has written."""


def _is_setting(text: str) -> bool:
    return bool(text.partition("=")[0].strip()) and "=" in text


@attrs.frozen(kw_only=True)
class Slurm:
    """Job arrays of cells that outlive the command; a cell that is preempted, or out of time, goes back and then goes on.

    Tested with submitit's local executor, and with stand-ins for Slurm's commands: never yet on a real cluster.
    """

    remote: ClassVar[bool] = True

    cluster: Literal["slurm", "local", "debug"] = option(
        "slurm",
        "slurm; local: processes on this machine, all at once; debug: in this process, one after another",
    )
    partition: str = option("", "partition; default: the cluster's own")
    account: str = option("", "account to charge")
    qos: str = option("", "quality of service")
    minutes: int = option(60, "time limit of a cell; one that runs out goes on in the queue", whole)
    timeouts: int = option(10, "times that a cell may run out of its time", min=0)
    cpus: int = option(1, "CPUs, and threads, of a cell", min=1)
    gpus: int = option(0, "GPUs of a cell", min=0)
    memory: float = option(0.0, "GiB of a cell; 0: the cluster's own default", min=0.0)
    parallel: int = option(0, "cells of an array that run at a time; 0: as many as there is room for", min=0)
    setup: tuple[str, ...] = option((), "shell lines before Python, such as module load cuda (slurm only)")
    sbatch: tuple[str, ...] = option(
        (),
        "further options of sbatch, each KEY=VALUE, such as constraint=a100",
        Limit("KEY=VALUE", _is_setting),
    )

    def check(self) -> None:
        """The library submitit is there, and so are Slurm's commands."""
        if find_spec("submitit") is None:
            raise UsageError("executor slurm: submitit is not installed; pip install 'boostlora[slurm]'")
        missing = [command for command in COMMANDS if shutil.which(command) is None]
        if self.cluster == "slurm" and missing:
            raise UsageError(
                f"executor slurm: {', '.join(missing)} cannot be found, so cells cannot be queued from this machine; "
                'log in to one of the cluster\'s, or try it out with the option cluster = "local"'
            )

    def submit(self, jobs: Sequence[Job]) -> Mapping[str, str]:
        """Queue all jobs, in as few arrays as clusters take; their ids, by cell. Raises `RunError` where the queue refuses."""
        self.check()
        ids = dict[str, str]()
        for first in range(0, len(jobs), ARRAY):
            some = jobs[first : first + ARRAY]
            try:
                numbers = self._submit(Path(some[0].study).absolute() / FOLDER, some)
            except RunError:
                self.cancel(some[0].study, ids)  # nobody would learn their ids
                raise
            ids |= dict(zip((job.cell for job in some), numbers, strict=True))
        return ids

    def poll(self, study: str, ids: Mapping[str, str]) -> Mapping[str, JobResult | None]:
        """What the jobs left; where one left nothing, whether the queue still has it."""
        folder = Path(study).absolute() / FOLDER
        found = {cell: left(folder, number, cell) for cell, number in ids.items()}
        unsure = {number: cell for cell, number in ids.items() if found[cell] is None}
        gone = self._gone(folder, unsure) if unsure else {}
        if gone and self.cluster == "slurm":
            time.sleep(SETTLE)
        for number, state in gone.items():
            cell = unsure[number]
            found[cell] = left(folder, number, cell) or lost(folder, number, cell, state)
        return found

    def cancel(self, study: str, ids: Mapping[str, str]) -> None:
        """Take cells out of the queue; their finished rounds stay."""
        folder = Path(study).absolute() / FOLDER
        waiting = [number for cell, number in ids.items() if left(folder, number, cell) is None]
        if self.cluster == "local":
            _local_queue.cancel(folder, waiting)
        elif self.cluster == "slurm" and waiting:
            done = subprocess.run(["scancel", *waiting], check=False, capture_output=True, text=True)  # noqa: S603, S607
            if done.returncode:
                raise RunError(f"executor slurm: scancel: {done.stderr.strip()}")

    def _submit(self, folder: Path, jobs: Sequence[Job]) -> list[str]:
        contents = [attrs.asdict(job) for job in jobs]
        if self.cluster == "debug":
            return [_played(folder, job) for job in jobs]
        if self.cluster == "local":
            parameters = {
                "timeout_min": self.minutes,
                "gpus_per_node": self.gpus,
                "signal_delay_s": self._delay,
            }
            return _local_queue.submit(folder, contents, parameters, self.timeouts, pinned(self.cpus))
        from submitit import SlurmExecutor  # noqa: PLC0415 - an extra

        executor = SlurmExecutor(folder, max_num_timeout=self.timeouts)
        executor.update_parameters(**self._parameters())
        try:
            return [str(job.job_id) for job in executor.map_array(Cell(), contents)]
        except Exception as error:  # submitit has several, and lets others through
            said = str(error).strip() or type(error).__name__
            raise RunError(f"executor slurm: sbatch took no job: {said}") from error

    def _parameters(self) -> dict[str, Any]:
        """What submitit is told, in Slurm's own words."""
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
            "signal_delay_s": self._delay,
            "array_parallelism": self.parallel or ARRAY,
            "setup": [*threads, *self.setup],
            **{key: value for key, value in named.items() if value},
        }

    @property
    def _delay(self) -> int:
        """Seconds of warning: less for a cell of a minute, which else would be told as it begins."""
        return min(WARNING, 30 * self.minutes)

    def _gone(self, folder: Path, numbers: Iterable[str]) -> dict[str, str]:
        """Jobs that neither wait nor run, and what is said of them."""
        if self.cluster == "local":
            return _local_queue.gone(folder, numbers)
        if self.cluster == "debug":
            return dict.fromkeys(numbers, "the process that played it was ended")
        return _states(numbers)


def _played(folder: Path, job: Job) -> str:
    """Play a cell at once; its number is the same whenever it is played."""
    from ...engine.study.cell_runner import run_cell  # noqa: PLC0415 - heavy, and only for this

    number = f"debug-{job.cell}"
    leave(folder, number, run_cell(job))
    return number


def _states(numbers: Iterable[str]) -> dict[str, str]:
    """Jobs that have ended, with Slurm's word for how: one call of sacct for all of them.

    One that is unknown to sacct, because it is new or because accounting is off, counts as waiting.
    """
    from submitit import SlurmJob  # noqa: PLC0415 - an extra

    logging.getLogger("submitit").setLevel(logging.ERROR)  # a call that fails is repeated at the next poll
    watcher, numbers = (
        type(SlurmJob.watcher)(),
        list(numbers),
    )  # the shared one never asks again of a job that has ended
    for number in numbers:
        watcher.register_job(number)
    watcher.update()
    ended = [number for number in numbers if watcher.is_done(number, mode="cache")]
    return {number: watcher.get_state(number, mode="cache") for number in ended}


@hookimpl
def register_executors(register: Callable[[str, type[Any]], None]) -> None:
    """Register `slurm`."""
    register("slurm", Slurm)
