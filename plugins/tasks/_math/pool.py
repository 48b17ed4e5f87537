"""A pool of math-verify worker processes, with time and memory limits per answer."""

from __future__ import annotations

import functools
import json
import os
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import attrs

from ....engine.errors import RunError

WORKER = Path(__file__).with_name("worker.py")
MEMORY = 1 << 30
"""Address space limit of a worker in bytes; it needs about 80 MB."""
START = 120.0
"""Maximum start time of a worker in seconds, on a busy machine."""
MAX_FAILED_STARTS = 5
"""Consecutive workers that may die before they are ready."""
SHARE = 16
"""Pending answers per worker above which another one is started."""


@attrs.frozen
class Verdict:
    """Whether an answer is correct, the parsed answer, and `timed-out` or `crashed` if it was not compared."""

    right: bool
    answer: str | None = None
    failure: str = ""


@attrs.frozen(eq=False)
class Worker:
    """A worker process and its connection."""

    process: subprocess.Popen[bytes]
    connection: Connection

    @classmethod
    def start(cls, memory: int) -> Worker:
        """Start a worker; it sends a message when it has loaded."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-P", str(WORKER), str(theirs.fileno()), str(memory)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C must not reach it
                # The iteration order of sets must be the same in all workers.
                env={**os.environ, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"},
            )
        return cls(process, Connection(ours.detach()))

    def end(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.wait()
        self.connection.close()


@attrs.define(eq=False)
class Task:
    """A pending answer: its index, and how many workers died on it."""

    place: int
    request: dict[str, Any]
    deaths: int = 0


@attrs.define(eq=False)
class _Batch:
    """The state of one call of `judge`: pending tasks, and busy workers with task (None: starting) and deadline."""

    waiting: deque[Task]
    busy: dict[Worker, tuple[Task | None, float]] = attrs.field(factory=dict)
    found: dict[int, Verdict] = attrs.field(factory=dict)
    falls: int = 0


class WorkerPool:
    """Workers that are started on demand, replaced after a kill, and ended at exit."""

    def __init__(self, most: int, memory: int = MEMORY) -> None:
        self._most, self._memory = most, memory
        self._idle: list[Worker] = []
        self._all: set[Worker] = set()
        self._lock = threading.Lock()
        # A forked child must not end this process's workers, neither here nor at its exit.
        self.close = weakref.finalize(self, _end, self._all, os.getpid())

    @property
    def processes(self) -> list[int]:
        """Process ids of the live workers."""
        return sorted(worker.process.pid for worker in self._all)

    def judge(self, pairs: Sequence[tuple[str, str]], seconds: float) -> list[Verdict]:
        """A verdict for every `(gold, text)`, each within `seconds` of wall-clock time; equal pairs are compared once.

        An answer on which two workers died is `crashed`. Raises `RunError` if workers cannot start.
        """
        places = {pair: i for i, pair in enumerate(dict.fromkeys(pairs))}
        tasks = (Task(i, {"gold": g, "text": t, "seconds": seconds}) for (g, t), i in places.items())
        with self._lock:
            batch = _Batch(deque(tasks))
            try:
                while batch.waiting or batch.busy:
                    self._assign(batch, seconds)
                    self._wait(batch)
            finally:  # on Ctrl-C, kill the busy workers
                for worker in batch.busy:
                    self._drop(worker)
        return [batch.found[places[pair]] for pair in pairs]

    def _assign(self, batch: _Batch, seconds: float) -> None:
        """Assign tasks to idle workers; start more workers if the queue is long."""
        while batch.waiting and self._idle:
            worker, task = self._idle.pop(), batch.waiting.popleft()
            batch.busy[worker] = (task, time.monotonic() + seconds)
            try:
                worker.connection.send_bytes(json.dumps(task.request).encode())
            except OSError:  # it died while idle: not the answer's fault
                batch.waiting.appendleft(task)
                self._failed_start(batch, worker)
        wanted = min(self._most, 1 + (len(batch.waiting) + len(batch.busy)) // SHARE)
        while batch.waiting and len(self._all) < wanted:
            worker = Worker.start(self._memory)
            self._all.add(worker)
            batch.busy[worker] = (None, time.monotonic() + START)

    def _wait(self, batch: _Batch) -> None:
        """Wait for the next reply, exit or deadline."""
        if not batch.busy:
            return
        first = min(limit for _, limit in batch.busy.values())
        lines = {worker.connection: worker for worker in batch.busy}
        for line in wait(list(lines), timeout=max(0.0, first - time.monotonic())):
            self._receive(batch, lines[line])  # pyright: ignore[reportArgumentType] - of what it was given
        for worker, (task, limit) in list(batch.busy.items()):
            if time.monotonic() >= limit and not worker.connection.poll():
                self._failed_start(batch, worker) if task is None else self._time_out(batch, worker, task)

    def _receive(self, batch: _Batch, worker: Worker) -> None:
        task, _ = batch.busy[worker]
        try:
            reply: dict[str, Any] = json.loads(worker.connection.recv_bytes())
        except (EOFError, OSError):
            if task is None:
                self._failed_start(batch, worker)
                return
            self._drop(worker, batch)
            task.deaths += 1
            if task.deaths > 1:
                batch.found[task.place] = Verdict(right=False, failure="crashed")
            else:  # retry once: the worker may have been killed from outside
                batch.waiting.appendleft(task)
            return
        if "error" in reply:
            raise RunError(f"math-verify cannot be loaded by a worker process: {reply['error']}")
        del batch.busy[worker]
        self._idle.append(worker)
        batch.falls = 0
        if task is not None:
            batch.found[task.place] = Verdict(**reply)

    def _time_out(self, batch: _Batch, worker: Worker, task: Task) -> None:
        self._drop(worker, batch)
        batch.found[task.place] = Verdict(right=False, failure="timed-out")

    def _failed_start(self, batch: _Batch, worker: Worker) -> None:
        """Handle a worker that died or hung without a task. Raises `RunError` after several in a row."""
        self._drop(worker, batch)
        batch.falls += 1
        if batch.falls >= MAX_FAILED_STARTS:
            code = worker.process.returncode
            raise RunError(
                f"{MAX_FAILED_STARTS} worker processes for math-verify ended at once (the last with code {code})"
            )

    def _drop(self, worker: Worker, batch: _Batch | None = None) -> None:
        if batch is not None:
            batch.busy.pop(worker, None)
        self._all.discard(worker)
        worker.end()


def _end(workers: set[Worker], owner: int) -> None:
    for worker in workers:
        if os.getpid() == owner:
            worker.end()
        else:
            worker.process.returncode = 0  # not our child: avoid Popen's warning
    workers.clear()


def verdicts(pairs: Sequence[tuple[str, str]], seconds: float) -> list[Verdict]:
    """Verdicts of this process's pool, with one worker per core but at most four; see `WorkerPool.judge`."""
    return _own(os.getpid()).judge(pairs, seconds)


@functools.cache
def _own(process: int) -> WorkerPool:
    return WorkerPool(most=min(4, os.cpu_count() or 1))
