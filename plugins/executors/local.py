"""Cells in worker processes on this machine."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import suppress
from typing import ClassVar

import attrs

from ...engine.contracts import Job, JobResult
from ...engine.foundation.hardware import accelerators, cores, pinned
from ...engine.foundation.options import option
from ...engine.hookspecs import Register, hookimpl

POLL = 0.2
"""Seconds between yields to the caller."""


@attrs.frozen(kw_only=True)
class Local:
    """Worker processes on this machine: threads pinned, with one accelerator each if there are any."""

    remote: ClassVar[bool] = False

    workers: int = option(
        0, "cells at a time; 0: one per accelerator, or per core without accelerators", min=0
    )
    threads: int = option(0, "threads per worker; 0: the cores, divided evenly", min=0)

    def check(self) -> None:
        """Always available."""

    def run(self, jobs: Sequence[Job]) -> Generator[JobResult | None]:
        """Run all jobs, one at a time on each worker; a worker that dies is replaced."""
        waiting, found = deque(jobs), accelerators()
        count = min(self.workers or len(found) or cores(), len(jobs))
        threads = self.threads or max(1, cores() // max(count, 1))
        slots = [_Worker(threads, found[i % len(found)] if found else None) for i in range(count)]
        try:
            for worker in slots:
                worker.send(waiting.popleft())
            while any(worker.job for worker in slots):
                yield None
                for ended, worker in _results(slots):
                    if waiting:
                        worker.send(waiting.popleft())
                    yield ended
        finally:
            for worker in slots:
                worker.kill()


class _Worker:
    """A worker process, started with its first job, and restarted after it died."""

    def __init__(self, threads: int, accelerator: str | None) -> None:
        self.job: Job | None = None
        self._environment = {**os.environ, **pinned(threads, accelerator)}
        self._process: subprocess.Popen[str] | None = None

    def send(self, job: Job) -> None:
        """Send a job; `receive` returns its result."""
        self.job = job
        with suppress(BrokenPipeError):  # the worker has just died: `receive` reports a lost cell
            process = self._live_process()
            assert process.stdin is not None
            process.stdin.write(json.dumps(attrs.asdict(job)) + "\n")
            process.stdin.flush()

    def _live_process(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self._close()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "boostlora.engine.study.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=self._environment,
                text=True,
                start_new_session=True,  # Ctrl-C goes to the parent process, which then ends its workers
            )
        return self._process

    @property
    def output(self) -> int | None:
        """The descriptor to read results from; None while no job is running."""
        if self.job is None or self._process is None or self._process.stdout is None:
            return None
        return self._process.stdout.fileno()

    def receive(self) -> JobResult:
        """The result of the job; blocks until it is available. A dead worker's job is lost."""
        assert self.job is not None
        assert self._process is not None
        assert self._process.stdout is not None
        cell, line = self.job.cell, self._process.stdout.readline()
        self.job = None
        with suppress(ValueError, TypeError):
            return JobResult(**json.loads(line))
        return JobResult(cell=cell, status="lost", cause=f"its worker {_exit_cause(self._process.wait())}")

    def kill(self) -> None:
        """Kill the process and its children."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._close()

    def _close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout) if self._process else ():
            if pipe is not None:
                with suppress(OSError):  # unwritten data: the reader is gone
                    pipe.close()


def _results(workers: Sequence[_Worker]) -> list[tuple[JobResult, _Worker]]:
    """Results available within `POLL` seconds."""
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            if worker.output is not None:
                selector.register(worker.output, selectors.EVENT_READ, worker)
        return [(key.data.receive(), key.data) for key, _ in selector.select(POLL)]


def _exit_cause(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    hint = "; the system may have run out of memory" if code == -signal.SIGKILL else ""
    return f"was killed by signal {-code} ({signal.strsignal(-code)}){hint}"


@hookimpl
def register_executors(register: Register) -> None:
    """Register `local`."""
    register("local", Local)
