"""Delivers a run's events to trackers, each in a thread of its own, so that a slow tracker never blocks the run."""

from __future__ import annotations

import queue
import threading
import time
import warnings
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

import pluggy

from ..contracts import TrackedRun, Tracker
from ..contracts.records import RoundRecord
from ..contracts.run_info import RunInfo, RunResult
from ..errors import place_of
from ..hookspecs import hookimpl

TIMEOUT = 10.0
"""Seconds without a response after which a tracker is reported as slow and, once the run has ended, abandoned."""
MAX_WAIT = 60.0
"""Most seconds that the end of a run waits for trackers, even if they still respond."""
POLL_INTERVAL = 0.1
"""Seconds between two checks for a response."""


class TrackerThread:
    """Delivers one run's events to one tracker, in order, in a background thread.

    An exception of the tracker disables it. The run's thread warns of it at the next event or at the end: warnings filters and
    `catch_warnings` are not thread-safe.
    """

    def __init__(self, name: str, tracker: Tracker) -> None:
        self._name, self._tracker = name, tracker
        self._followed: TrackedRun | None = None
        self._queue = queue.SimpleQueue[tuple[str, Callable[[], None]] | None]()
        self._lock = threading.Lock()
        self._pending = list[str]()
        """Events not delivered yet, in order."""
        self._failures = list[str]()
        """Exceptions of the tracker that no warning has reported yet."""
        self._disabled = False
        self._last_response = time.monotonic()
        self._slow, self._abandoned = False, False
        self._thread = threading.Thread(target=self._deliver, name=name, daemon=True)
        self._thread.start()

    @hookimpl
    def run_started(self, run: RunInfo) -> None:
        """Start to track a new or resumed run."""

        def follow() -> None:
            self._followed = self._tracker.follow(run)

        self._enqueue("run_started", follow)

    @hookimpl
    def round_finished(self, record: RoundRecord) -> None:
        """Forward a round."""
        self._forward("round_finished", f"round {record.round}", record)

    @hookimpl
    def run_finished(self, result: RunResult) -> None:
        """Forward the result."""
        self._forward("run_finished", "the result", result)

    def finish(self, ended: float) -> None:
        """Deliver the pending events and close the tracker; abandon it if it stops responding. `ended`: monotonic time of the run's end."""
        self._queue.put(None)
        while self._thread.is_alive():
            with self._lock:
                limit = min(ended + MAX_WAIT, max(ended, self._last_response) + TIMEOUT)
            left = limit - time.monotonic()
            if left <= 0:
                break
            self._thread.join(min(left, POLL_INTERVAL))
        with self._lock:
            self._abandoned = True
            undelivered = list(self._pending)
        self._report()
        if undelivered:
            self._warn(f"does not respond and is abandoned; not delivered: {_listed(undelivered)}")
        elif self._thread.is_alive():
            self._warn("does not respond and is abandoned; all events were delivered, but it was not closed")

    def _forward(self, hook: str, what: str, content: Any) -> None:
        def deliver() -> None:
            if self._followed is not None:
                getattr(self._followed, hook)(content)

        self._enqueue(hook, deliver, what)

    def _enqueue(self, hook: str, deliver: Callable[[], None], what: str = "") -> None:
        """Queue an event, and report failures of earlier ones."""
        self._report()
        with self._lock:
            if self._disabled:
                return
            if not self._pending:  # it was idle: the timeout starts now
                self._last_response = time.monotonic()
            self._pending.append(what or "the start")
            slow = not self._slow and time.monotonic() - self._last_response > TIMEOUT
            self._slow |= slow
        self._queue.put((hook, deliver))
        if slow:
            self._warn(f"has not responded for {TIMEOUT:g} s; the run continues without waiting for it")

    def _deliver(self) -> None:
        """The thread's loop: deliver events in order, then close the tracker, also one that has failed."""
        while (event := self._queue.get()) is not None and not self._abandoned:
            hook, deliver = event
            if not self._disabled:
                self._attempt(f"in {hook}", deliver, "; it gets no further events of this run")
        if self._followed is not None:
            self._attempt("when it was closed", self._followed.close)

    def _attempt(self, moment: str, act: Callable[[], None], after: str = "") -> None:
        failure = ""
        try:
            act()
        except (Exception, SystemExit) as error:
            failure = f"raised {type(error).__name__} {moment}: {error}{place_of(error)}{after}"
        with self._lock:
            self._last_response = time.monotonic()
            if failure:
                self._failures.append(failure)
                self._disabled = True
                self._pending.clear()
            else:
                del self._pending[:1]

    def _report(self) -> None:
        """Warn of every failure once."""
        with self._lock:
            failures, self._failures = self._failures, []
        for failure in failures:
            self._warn(failure)

    def _warn(self, message: str) -> None:
        warnings.warn(f"{self._name} {message}", RuntimeWarning, stacklevel=2)


def _listed(events: list[str]) -> str:
    """A short list of events, such as `rounds 3 to 9, the result`."""
    rounds = [event.removeprefix("round ") for event in events if event.startswith("round ")]
    others = [event for event in events if not event.startswith("round ")]
    if len(rounds) > 1:
        listed = [f"rounds {rounds[0]} to {rounds[-1]}"]
    else:
        listed = [f"round {number}" for number in rounds]
    first = [event for event in others if event == "the start"]
    return ", ".join([*first, *listed, *(event for event in others if event != "the start")])


@contextmanager
def run_trackers(trackers: Mapping[str, Tracker], manager: pluggy.PluginManager) -> Generator[None]:
    """Deliver the events of one run to `trackers` while inside. On exit, wait for those that still respond."""
    listeners = {name: TrackerThread(f"tracker {name}", tracker) for name, tracker in trackers.items()}
    for name, listener in listeners.items():
        manager.register(listener, name=f"tracker {name}")
    try:
        yield
    finally:
        ended = time.monotonic()
        for listener in listeners.values():
            manager.unregister(listener)
        # All threads drain at once, and share the deadline of `ended`: n stuck trackers cost one timeout, not n.
        for listener in listeners.values():
            listener.finish(ended)
