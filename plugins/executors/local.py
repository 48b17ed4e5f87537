"""Run cells in processes of their own on this machine."""

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

TICK = 0.2
"""Seconds after which the caller is given a turn."""


@attrs.frozen(kw_only=True)
class Local:
    """Worker processes on this machine: threads pinned, one accelerator each where there are some."""

    remote: ClassVar[bool] = False

    workers: int = option(0, "cells at a time; 0: one for each accelerator, else one for each core", min=0)
    threads: int = option(0, "threads of a worker; 0: the cores, shared out evenly", min=0)

    def check(self) -> None:
        """It works everywhere."""

    def run(self, jobs: Sequence[Job]) -> Generator[JobResult | None]:
        """Keep every worker busy until no job is left; a worker that dies is replaced."""
        waiting, found = deque(jobs), accelerators()
        count = min(self.workers or len(found) or cores(), len(jobs))
        threads = self.threads or max(1, cores() // max(count, 1))
        slots = [_Worker(threads, found[i % len(found)] if found else None) for i in range(count)]
        try:
            for worker in slots:
                worker.give(waiting.popleft())
            while any(worker.job for worker in slots):
                yield None
                for ended, worker in _answers(slots):
                    if waiting:
                        worker.give(waiting.popleft())
                    yield ended
        finally:
            for worker in slots:
                worker.kill()


class _Worker:
    """One process, started when it is given its first job, and again after it has died."""

    def __init__(self, threads: int, accelerator: str | None) -> None:
        self.job: Job | None = None
        self._environment = {**os.environ, **pinned(threads, accelerator)}
        self._process: subprocess.Popen[str] | None = None

    def give(self, job: Job) -> None:
        """Send a job; its answer comes later."""
        self.job = job
        with suppress(BrokenPipeError):  # a worker that has just died: its answer is that it is lost
            process = self._running()
            assert process.stdin is not None
            process.stdin.write(json.dumps(attrs.asdict(job)) + "\n")
            process.stdin.flush()

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self._close()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "boostlora.engine.study.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=self._environment,
                text=True,
                start_new_session=True,  # Ctrl-C is for the master, which then ends its workers
            )
        return self._process

    @property
    def output(self) -> int | None:
        """The descriptor that answers come from; None while nothing is expected."""
        if self.job is None or self._process is None or self._process.stdout is None:
            return None
        return self._process.stdout.fileno()

    def answer(self) -> JobResult:
        """What became of the job; blocks until it is known. A dead worker's job is lost."""
        assert self.job is not None
        assert self._process is not None
        assert self._process.stdout is not None
        cell, line = self.job.cell, self._process.stdout.readline()
        self.job = None
        with suppress(ValueError, TypeError):
            return JobResult(**json.loads(line))
        return JobResult(cell=cell, status="lost", cause=f"its worker {_death(self._process.wait())}")

    def kill(self) -> None:
        """End the process, whatever it is doing."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._close()

    def _close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout) if self._process else ():
            if pipe is not None:
                with suppress(OSError):  # what was still to be written finds nobody
                    pipe.close()


def _answers(workers: Sequence[_Worker]) -> list[tuple[JobResult, _Worker]]:
    """Answers that are there, after at most a tick."""
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            if worker.output is not None:
                selector.register(worker.output, selectors.EVENT_READ, worker)
        return [(key.data.answer(), key.data) for key, _ in selector.select(TICK)]


def _death(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    hint = "; the system may have run out of memory" if code == -signal.SIGKILL else ""
    return f"was killed by signal {-code} ({signal.strsignal(-code)}){hint}"


@hookimpl
def register_executors(register: Register) -> None:
    """Register `local`."""
    register("local", Local)
