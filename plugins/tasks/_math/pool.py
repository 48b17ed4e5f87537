"""Answers compared by math-verify in processes of their own: none takes longer, or more memory, than it may."""

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
"""Bytes of address space a worker may take; it needs about 80 MB."""
START = 120.0
"""Seconds a worker may take to start, on a machine that does much else."""
FALLS = 5
"""Workers in a row that may end before they are ready."""
SHARE = 16
"""Answers for which another worker is worth its start."""


@attrs.frozen
class Verdict:
    """What became of an answer: whether it is right, what was read in it, and `timed-out` or `crashed` where it was not judged."""

    right: bool
    answer: str | None = None
    failure: str = ""


@attrs.frozen(eq=False)
class Worker:
    """A process, and the line to it."""

    process: subprocess.Popen[bytes]
    line: Connection

    @classmethod
    def start(cls, memory: int) -> Worker:
        """A new one, which is still loading: it says when it is ready."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-P", str(WORKER), str(theirs.fileno()), str(memory)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C in the terminal is not for it
                # The order of sets must not differ from one worker to the next.
                env={**os.environ, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"},
            )
        return cls(process, Connection(ours.detach()))

    def end(self) -> None:
        """Kill it, whatever it does."""
        self.process.kill()
        self.process.wait()
        self.line.close()


@attrs.define(eq=False)
class Task:
    """An answer to be judged: its place, and how many workers died over it."""

    place: int
    request: dict[str, Any]
    deaths: int = 0


@attrs.define(eq=False)
class _Round:
    """One call of `judge`: what waits, and who is at work until when (on None: at starting)."""

    waiting: deque[Task]
    busy: dict[Worker, tuple[Task | None, float]] = attrs.field(factory=dict)
    found: dict[int, Verdict] = attrs.field(factory=dict)
    falls: int = 0


class Verifiers:
    """A few workers, started when they are first needed, replaced when they had to be killed, ended with the program."""

    def __init__(self, most: int, memory: int = MEMORY) -> None:
        self._most, self._memory = most, memory
        self._idle: list[Worker] = []
        self._all: set[Worker] = set()
        self._lock = threading.Lock()
        # Neither here nor at the program's end may a process that was forked from this one end its workers.
        self.close = weakref.finalize(self, _end, self._all, os.getpid())

    @property
    def processes(self) -> list[int]:
        """Ids of the processes that live."""
        return sorted(worker.process.pid for worker in self._all)

    def judge(self, pairs: Sequence[tuple[str, str]], seconds: float) -> list[Verdict]:
        """A verdict on every `(gold, text)`, each within `seconds` of a worker's time by the clock; equal pairs are judged once.

        An answer over which two workers died is `crashed`. Raises `RunError` where no worker starts.
        """
        places = {pair: i for i, pair in enumerate(dict.fromkeys(pairs))}
        tasks = (Task(i, {"gold": g, "text": t, "seconds": seconds}) for (g, t), i in places.items())
        with self._lock:
            round_ = _Round(deque(tasks))
            try:
                while round_.waiting or round_.busy:
                    self._assign(round_, seconds)
                    self._listen(round_)
            finally:  # on Ctrl-C nobody waits for what is under way
                for worker in round_.busy:
                    self._drop(worker)
        return [round_.found[places[pair]] for pair in pairs]

    def _assign(self, now: _Round, seconds: float) -> None:
        """Give every idle worker an answer; start more where that is worth it."""
        while now.waiting and self._idle:
            worker, task = self._idle.pop(), now.waiting.popleft()
            now.busy[worker] = (task, time.monotonic() + seconds)
            try:
                worker.line.send_bytes(json.dumps(task.request).encode())
            except OSError:  # it died while nobody looked: that says nothing of the answer
                now.waiting.appendleft(task)
                self._fell(now, worker)
        wanted = min(self._most, 1 + (len(now.waiting) + len(now.busy)) // SHARE)
        while now.waiting and len(self._all) < wanted:
            worker = Worker.start(self._memory)
            self._all.add(worker)
            now.busy[worker] = (None, time.monotonic() + START)

    def _listen(self, now: _Round) -> None:
        """Wait for the next reply, end, or limit."""
        if not now.busy:
            return
        first = min(limit for _, limit in now.busy.values())
        lines = {worker.line: worker for worker in now.busy}
        for line in wait(list(lines), timeout=max(0.0, first - time.monotonic())):
            self._hear(now, lines[line])  # pyright: ignore[reportArgumentType] - of what it was given
        for worker, (task, limit) in list(now.busy.items()):
            if time.monotonic() >= limit and not worker.line.poll():
                self._fell(now, worker) if task is None else self._late(now, worker, task)

    def _hear(self, now: _Round, worker: Worker) -> None:
        task, _ = now.busy[worker]
        try:
            reply: dict[str, Any] = json.loads(worker.line.recv_bytes())
        except (EOFError, OSError):
            if task is None:
                self._fell(now, worker)
                return
            self._drop(worker, now)
            task.deaths += 1
            if task.deaths > 1:
                now.found[task.place] = Verdict(right=False, failure="crashed")
            else:  # another time: somebody else may have ended it
                now.waiting.appendleft(task)
            return
        if "error" in reply:
            raise RunError(f"math-verify cannot be loaded by a worker process: {reply['error']}")
        del now.busy[worker]
        self._idle.append(worker)
        now.falls = 0
        if task is not None:
            now.found[task.place] = Verdict(**reply)

    def _late(self, now: _Round, worker: Worker, task: Task) -> None:
        self._drop(worker, now)
        now.found[task.place] = Verdict(right=False, failure="timed-out")

    def _fell(self, now: _Round, worker: Worker) -> None:
        """A worker ended, or hung, without having been asked anything."""
        self._drop(worker, now)
        now.falls += 1
        if now.falls >= FALLS:
            code = worker.process.returncode
            raise RunError(
                f"{FALLS} worker processes for math-verify ended at once (the last with code {code})"
            )

    def _drop(self, worker: Worker, now: _Round | None = None) -> None:
        if now is not None:
            now.busy.pop(worker, None)
        self._all.discard(worker)
        worker.end()


def _end(workers: set[Worker], owner: int) -> None:
    for worker in workers:
        if os.getpid() == owner:
            worker.end()
        else:
            worker.process.returncode = 0  # not ours to wait for, nor to be warned of
    workers.clear()


def verdicts(pairs: Sequence[tuple[str, str]], seconds: float) -> list[Verdict]:
    """Verdicts by this process's own workers, one for each core but at most four; see `Verifiers.judge`."""
    return _own(os.getpid()).judge(pairs, seconds)


@functools.cache
def _own(process: int) -> Verifiers:
    return Verifiers(most=min(4, os.cpu_count() or 1))
