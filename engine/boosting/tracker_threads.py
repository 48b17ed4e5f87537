"""Trackers as listeners to a run's events: each in a thread of its own, so that the run waits for none."""

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
from ..hookspecs import hookimpl

PATIENCE = 10.0
"""Seconds without an answer after which a tracker is said to be slow and, once the run has ended, is left."""
LONGEST = 60.0
"""Seconds that the end of a run waits for trackers in all, even where they answer."""
LOOK = 0.1
"""Seconds between two looks at whether a tracker has answered."""


class TrackerThread:
    """One tracker that follows one run: told its events in their order, in the background.

    What the tracker raises silences it, and is told by the thread of the run: at the next event, or at the end.
    """

    def __init__(self, name: str, tracker: Tracker) -> None:
        self._name, self._tracker = name, tracker
        self._followed: TrackedRun | None = None
        self._queue = queue.SimpleQueue[tuple[str, Callable[[], None]] | None]()
        self._lock = threading.Lock()
        self._waiting = list[str]()
        """Events that were not delivered yet, in their order."""
        self._failures = list[str]()
        """What it raised, not said yet."""
        self._silent = False
        self._answered = time.monotonic()
        self._slow, self._left = False, False
        self._thread = threading.Thread(target=self._deliver, name=name, daemon=True)
        self._thread.start()

    @hookimpl
    def run_started(self, run: RunInfo) -> None:
        """Begin to follow, or go on."""

        def follow() -> None:
            self._followed = self._tracker.follow(run)

        self._tell("run_started", follow)

    @hookimpl
    def round_finished(self, record: RoundRecord) -> None:
        """Pass a round on."""
        self._pass_on("round_finished", f"round {record.round}", record)

    @hookimpl
    def run_finished(self, result: RunResult) -> None:
        """Pass the result on."""
        self._pass_on("run_finished", "the result", result)

    def finish(self, ended: float) -> None:
        """Let the tracker hear what is left, and close it; leave it where it does not answer any more. `ended`: when the run did."""
        self._queue.put(None)
        while self._thread.is_alive():
            with self._lock:
                limit = min(ended + LONGEST, max(ended, self._answered) + PATIENCE)
            left = limit - time.monotonic()
            if left <= 0:
                break
            self._thread.join(min(left, LOOK))
        with self._lock:
            self._left = True
            undelivered = list(self._waiting)
        self._report()
        if undelivered:
            self._warn(f"does not answer and is left; not delivered: {_listed(undelivered)}")
        elif self._thread.is_alive():
            self._warn("does not answer and is left; it was told everything, but not closed")

    def _pass_on(self, hook: str, what: str, content: Any) -> None:
        def deliver() -> None:
            if self._followed is not None:
                getattr(self._followed, hook)(content)

        self._tell(hook, deliver, what)

    def _tell(self, hook: str, deliver: Callable[[], None], what: str = "") -> None:
        """Queue an event, and say how the earlier ones went."""
        self._report()
        with self._lock:
            if self._silent:
                return
            if not self._waiting:  # nothing was to be answered
                self._answered = time.monotonic()
            self._waiting.append(what or "the start")
            slow = not self._slow and time.monotonic() - self._answered > PATIENCE
            self._slow |= slow
        self._queue.put((hook, deliver))
        if slow:
            self._warn(f"has not answered for {PATIENCE:g} s; the run goes on without waiting for it")

    def _deliver(self) -> None:
        """The thread: one event after the other, then the end, which comes to a tracker that has failed too."""
        while (event := self._queue.get()) is not None and not self._left:
            hook, deliver = event
            if not self._silent:
                self._attempt(f"in {hook}", deliver, "; it is told nothing more")
        if self._followed is not None:
            self._attempt("when it was closed", self._followed.close)

    def _attempt(self, moment: str, act: Callable[[], None], after: str = "") -> None:
        failure = ""
        try:
            act()
        except (Exception, SystemExit) as error:
            failure = f"raised {type(error).__name__} {moment}: {error}{after}"
        with self._lock:
            self._answered = time.monotonic()
            if failure:
                self._failures.append(failure)
                self._silent = True
                self._waiting.clear()
            else:
                del self._waiting[:1]

    def _report(self) -> None:
        """Say once what the tracker raised."""
        with self._lock:
            failures, self._failures = self._failures, []
        for failure in failures:
            self._warn(failure)

    def _warn(self, message: str) -> None:
        warnings.warn(f"{self._name} {message}", RuntimeWarning, stacklevel=2)


def _listed(events: list[str]) -> str:
    """Events in a few words: `rounds 3 to 9, the result`."""
    rounds = [event.removeprefix("round ") for event in events if event.startswith("round ")]
    others = [event for event in events if not event.startswith("round ")]
    if len(rounds) > 1:
        told = [f"rounds {rounds[0]} to {rounds[-1]}"]
    else:
        told = [f"round {number}" for number in rounds]
    first = [event for event in others if event == "the start"]
    return ", ".join([*first, *told, *(event for event in others if event != "the start")])


@contextmanager
def following(trackers: Mapping[str, Tracker], manager: pluggy.PluginManager) -> Generator[None]:
    """Let trackers hear the events of one run while inside; then wait for them, as long as they answer, and no longer."""
    listeners = {name: TrackerThread(f"tracker {name}", tracker) for name, tracker in trackers.items()}
    for name, listener in listeners.items():
        manager.register(listener, name=f"tracker {name}")
    try:
        yield
    finally:
        ended = time.monotonic()
        for listener in listeners.values():
            manager.unregister(listener)
        for listener in listeners.values():
            listener.finish(ended)
