"""Run cells on a Ray cluster, or on this machine through one that is started for it."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, ClassVar

import attrs

from ...engine.contracts import Job, JobResult
from ...engine.errors import UsageError
from ...engine.foundation.hardware import VISIBLE, pinned
from ...engine.foundation.options import option
from ...engine.hookspecs import hookimpl

TICK = 0.2
"""Seconds after which the caller is given a turn."""
PATIENCE = 10.0
"""Seconds that a connection, and the end of cancelled cells, are waited for."""
GIBIBYTE = 1 << 30


@attrs.frozen(kw_only=True)
class Ray:
    """Every cell is a Ray task in a process of its own, which ends with it: its memory and its GPU are free for the next.

    Ray does not repeat a task whose worker died: the cell is told as lost, and whoever submits it again finds its finished
    rounds on disk. A worker that only seems dead still holds the lock of the cell's folder, so no cell is ever played twice
    at a time. Resources are those of the cluster as it stands: one that would grow for a large cell is not waited for.
    """

    remote: ClassVar[bool] = True

    address: str = option(
        "",
        'the cluster: "auto", HOST:PORT or ray://HOST:PORT; default: $RAY_ADDRESS, a cluster that runs here, else a new one',
    )
    cpus: int = option(1, "CPUs, and threads, of a cell", min=1)
    gpus: float = option(0.0, "GPUs of a cell; a share such as 0.5 lets cells sit on one together", min=0.0)
    memory: float = option(0.0, "GiB that Ray sets aside for a cell; 0: it does not count memory", min=0.0)
    workers: int = option(0, "cells at a time; 0: as many as the cluster has resources for", min=0)

    def check(self) -> None:
        """Ray is there, and the cluster answers if it is named."""
        if find_spec("ray") is None:
            raise UsageError("executor ray: Ray is not installed; pip install 'boostlora[ray]'")
        address = self.address or os.environ.get("RAY_ADDRESS", "")
        if address not in {"", "auto", "local"}:
            _reach(address)

    def run(self, jobs: Sequence[Job]) -> Iterator[JobResult | None]:
        """Hand out all jobs, or the first `workers` and another for each that ends. Raises `UsageError` for want of resources."""
        self.check()
        with self._cluster() as ray:
            self._check_resources(ray.nodes())
            yield from self._run_cell(ray, jobs)

    def _run_cell(self, ray: Any, jobs: Sequence[Job]) -> Iterator[JobResult | None]:
        task, waiting, running = ray.remote(**self._demands())(_run_cell), deque(jobs), dict[Any, Job]()
        try:
            while waiting or running:
                while waiting and (not self.workers or len(running) < self.workers):
                    job = waiting.popleft()
                    running[task.remote(attrs.asdict(job))] = job
                done, _ = ray.wait(list(running), timeout=TICK)
                for reference in done:
                    yield _ended(ray, reference, running.pop(reference))
                yield None
        finally:
            for reference in running:
                ray.cancel(reference, force=True)
            if running:
                ray.wait(list(running), num_returns=len(running), timeout=PATIENCE)

    def _demands(self) -> dict[str, Any]:
        """What Ray is told of a cell; its process ends with it, and is not started again."""
        environment = pinned(self.cpus)
        if not self.gpus:
            environment[VISIBLE] = ""  # a cell that asked for none must not sit on another's
        demands = {"num_cpus": self.cpus, "num_gpus": self.gpus, "max_retries": 0, "max_calls": 1}
        if self.memory:
            demands["memory"] = int(self.memory * GIBIBYTE)
        return {**demands, "runtime_env": {"env_vars": environment}}

    @contextmanager
    def _cluster(self) -> Generator[Any]:
        """Ray, connected; where this process was connected before, it stays so."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray  # noqa: PLC0415 - half a second, and an extra

        if ray.is_initialized():
            yield ray
            return
        try:
            with _signals_kept():
                ray.init(
                    address=self.address or None,
                    include_dashboard=False if self.address in {"", "local"} else None,
                    log_to_driver=False,
                    logging_level=logging.CRITICAL,
                )
        except (ConnectionError, TimeoutError, RuntimeError) as error:
            raise UsageError(f"executor ray: no cluster to work on: {error}") from error
        _hush(ray)
        try:
            yield ray
        finally:
            ray.shutdown()

    def _check_resources(self, nodes: Sequence[Mapping[str, Any]]) -> None:
        """Refuse cells that would wait for ever: some node must have all that one asks for."""
        asked = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory * GIBIBYTE}
        having = [node["Resources"] for node in nodes if node["Alive"]]
        if any(all(has.get(what, 0) >= count for what, count in asked.items()) for has in having):
            return
        raise UsageError(
            f"executor ray: a cell asks for {_words(asked)}, and no node of the cluster has that much. "
            f"Its nodes have: {'; '.join(_words(has) for has in having) or 'nothing'}. "
            "Ask for less with the options cpus, gpus and memory"
        )


def _run_cell(job: dict[str, Any]) -> dict[str, Any]:
    """Play a cell, in a Ray worker."""
    import cattrs  # noqa: PLC0415 - only the worker needs them

    from ...engine.study.cell_runner import run_cell  # noqa: PLC0415

    return attrs.asdict(run_cell(cattrs.structure(job, Job)))


def _ended(ray: Any, reference: Any, job: Job) -> JobResult:
    """What became of a task. `play` raises nothing, so what Ray raises is about workers and machines."""
    try:
        return JobResult(**ray.get(reference))
    except ray.exceptions.RayError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        # A traceback tells what happened in its last line, everything else in its first.
        said = lines[-1 if isinstance(error, ray.exceptions.RayTaskError) else 0] if lines else ""
        return JobResult(cell=job.cell, status="lost", cause=f"{type(error).__name__}: {said}")


def _reach(address: str) -> None:
    """Knock at a cluster's door: Ray itself takes more than a minute to find nobody there."""
    host, colon, port = address.rpartition("://")[2].partition("/")[0].rpartition(":")
    if not colon or not port.isdigit():
        return  # some other kind of address, which Ray may know
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"executor ray: no cluster answers at {address} ({error}); start one with: ray start --head, "
            "or leave the option address out and unset RAY_ADDRESS"
        ) from error


def _hush(ray: Any) -> None:
    """Keep what a cluster says of dead workers out of this command's output, where it would break the display and the JSON.

    What matters of it is told as the cause of a lost cell. Ray has no option for it: this is the switch of its own debugger.
    """
    worker = getattr(getattr(ray, "_private", None), "worker", None)
    if worker is not None:
        worker._worker_logs_enabled = False  # noqa: SLF001


def _words(resources: Mapping[str, float]) -> str:
    memory = resources.get("memory", 0) / GIBIBYTE
    parts = [f"{resources.get(what, 0):g} {what}" for what in ("CPU", "GPU")]
    return ", ".join([*parts, *([f"{memory:.1f} GiB"] if memory else [])])


@contextmanager
def _signals_kept() -> Generator[None]:
    """Keep this process's own handler of SIGTERM, which Ray replaces when it connects."""
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
