"""Cells on a Ray cluster, or on a local one that is started for them."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import attrs

from ...engine.contracts import Job, JobResult
from ...engine.errors import UsageError
from ...engine.foundation.hardware import VISIBLE, pinned
from ...engine.foundation.options import option
from ...engine.hookspecs import hookimpl
from ...engine.sdk.libraries import require_libraries

POLL = 0.2
"""Seconds between yields to the caller."""
TIMEOUT = 10.0
"""Seconds to wait for a connection, and for cancelled cells to end."""
GIBIBYTE = 1 << 30


@attrs.frozen(kw_only=True)
class Ray:
    """Every cell is a Ray task in a process of its own, which ends with the cell and frees its memory and GPU.

    Ray does not retry a task whose worker died: the cell is reported as lost, and resumes from its finished rounds when it is
    submitted again. A worker that only seems dead still holds the lock of the cell's folder, so no cell runs twice at a time.
    Only the cluster's current resources count: there is no waiting for autoscaling.
    """

    remote: ClassVar[bool] = True

    address: str = option(
        "",
        'the cluster: "auto", HOST:PORT or ray://HOST:PORT; empty: $RAY_ADDRESS, a cluster on this machine, or a new one',
    )
    cpus: int = option(1, "CPUs, and threads, per cell", min=1)
    gpus: float = option(0.0, "GPUs per cell; with a fraction such as 0.5, cells share one", min=0.0)
    memory: float = option(0.0, "memory reserved per cell in GiB; 0: none", min=0.0)
    workers: int = option(0, "maximum cells at a time; 0: as many as the cluster has resources for", min=0)

    def check(self) -> None:
        """Raise `UsageError` if Ray is missing, or a given cluster does not respond."""
        require_libraries("executor ray", "ray", "ray")
        address = self.address or os.environ.get("RAY_ADDRESS", "")
        if address not in {"", "auto", "local"}:
            _check_reachable(address)

    def run(self, jobs: Sequence[Job]) -> Iterator[JobResult | None]:
        """Submit all jobs, at most `workers` at a time. Raises `UsageError` if no node has the resources for a cell."""
        self.check()
        with self._cluster() as ray:
            self._check_resources(ray.nodes())
            yield from self._run_jobs(ray, jobs)

    def _run_jobs(self, ray: Any, jobs: Sequence[Job]) -> Iterator[JobResult | None]:
        task, waiting, running = ray.remote(**self._task_options())(_run_cell), deque(jobs), dict[Any, Job]()
        try:
            while waiting or running:
                while waiting and (not self.workers or len(running) < self.workers):
                    job = waiting.popleft()
                    running[task.remote(attrs.asdict(job))] = job
                done, _ = ray.wait(list(running), timeout=POLL)
                for reference in done:
                    yield _job_result(ray, reference, running.pop(reference))
                yield None
        finally:
            for reference in running:
                ray.cancel(reference, force=True)
            if running:
                ray.wait(list(running), num_returns=len(running), timeout=TIMEOUT)

    def _task_options(self) -> dict[str, Any]:
        """Ray's options of a cell: its process ends with it (`max_calls`), without retries."""
        environment = pinned(self.cpus)
        if not self.gpus:
            environment[VISIBLE] = ""  # a cell without GPUs must not use another's
        options = {"num_cpus": self.cpus, "num_gpus": self.gpus, "max_retries": 0, "max_calls": 1}
        if self.memory:
            options["memory"] = int(self.memory * GIBIBYTE)
        return {**options, "runtime_env": {"env_vars": environment}}

    @contextmanager
    def _cluster(self) -> Generator[Any]:
        """The connected `ray` module; an earlier connection of this process stays open."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray  # noqa: PLC0415 - half a second, and an extra

        if ray.is_initialized():
            yield ray
            return
        try:
            with _preserved_sigterm():
                ray.init(
                    address=self.address or None,
                    include_dashboard=False if self.address in {"", "local"} else None,
                    log_to_driver=False,
                    logging_level=logging.CRITICAL,
                )
        except (ConnectionError, TimeoutError, RuntimeError) as error:
            raise UsageError(f"executor ray: cannot connect to a cluster: {error}") from error
        _silence_worker_logs(ray)
        try:
            yield ray
        finally:
            ray.shutdown()

    def _check_resources(self, nodes: Sequence[Mapping[str, Any]]) -> None:
        """Raise `UsageError` if no single node has the resources of a cell, which would wait forever."""
        requested = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory * GIBIBYTE}
        having = [node["Resources"] for node in nodes if node["Alive"]]
        if any(all(has.get(what, 0) >= count for what, count in requested.items()) for has in having):
            return
        raise UsageError(
            f"executor ray: a cell needs {_resource_text(requested)}, and no node of the cluster has that much. "
            f"Its nodes have: {'; '.join(_resource_text(has) for has in having) or 'nothing'}. "
            "Reduce the options cpus, gpus or memory"
        )


def _run_cell(job: dict[str, Any]) -> dict[str, Any]:
    """Run a cell, in a Ray worker."""
    import cattrs  # noqa: PLC0415 - only the worker needs them

    from ...engine.study.cell_runner import run_cell  # noqa: PLC0415

    return attrs.asdict(run_cell(cattrs.structure(job, Job)))


def _job_result(ray: Any, reference: Any, job: Job) -> JobResult:
    """The result of a task. `run_cell` raises nothing, so errors are about workers and machines."""
    try:
        return JobResult(**ray.get(reference))
    except ray.exceptions.RayError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        # The error is in the last line of a traceback, and in the first line of other messages.
        message = lines[-1 if isinstance(error, ray.exceptions.RayTaskError) else 0] if lines else ""
        return JobResult(cell=job.cell, status="lost", cause=f"{type(error).__name__}: {message}")


def _check_reachable(address: str) -> None:
    """Try to connect to the cluster: Ray itself takes more than a minute to fail."""
    host, colon, port = address.rpartition("://")[2].partition("/")[0].rpartition(":")
    if not colon or not port.isdigit():
        return  # another kind of address, left to Ray
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=TIMEOUT).close()
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"executor ray: no cluster responds at {address} ({error}); start one with: ray start --head, "
            "or leave the option address out and unset RAY_ADDRESS"
        ) from error


def _silence_worker_logs(ray: Any) -> None:
    """Keep a cluster's messages about dead workers out of this command's output, where they would break the display and the JSON.

    The cause of a lost cell has the relevant part. Ray has no option for this; its debugger uses the same switch.
    """
    worker = getattr(getattr(ray, "_private", None), "worker", None)
    if worker is not None:
        worker._worker_logs_enabled = False  # noqa: SLF001


def _resource_text(resources: Mapping[str, float]) -> str:
    memory = resources.get("memory", 0) / GIBIBYTE
    parts = [f"{resources.get(what, 0):g} {what}" for what in ("CPU", "GPU")]
    return ", ".join([*parts, *([f"{memory:.1f} GiB"] if memory else [])])


@contextmanager
def _preserved_sigterm() -> Generator[None]:
    """Preserve this process's SIGTERM handler, which Ray replaces when it connects."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


@hookimpl
def register_executors(register: Callable[[str, type[Any]], None]) -> None:
    """Register `ray`."""
    register("ray", Ray)
