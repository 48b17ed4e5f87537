"""Trackers as listeners to a run's events, for as long as the run is played."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager

import pluggy

from ..contracts import TrackedRun, Tracker
from ..hookspecs import hookimpl
from ..record.rounds import RoundRecord
from .state import RunInfo, RunResult


class Listener:
    """One tracker that follows one run; what it raises is kept from the run by whoever tells the events."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._followed: TrackedRun | None = None

    @hookimpl
    def run_started(self, run: RunInfo) -> None:
        """Begin to follow, or go on."""
        self._followed = self._tracker.follow(run)

    @hookimpl
    def round_finished(self, record: RoundRecord) -> None:
        """Pass a round on."""
        if self._followed is not None:
            self._followed.round_finished(record)

    @hookimpl
    def run_finished(self, result: RunResult) -> None:
        """Pass the result on."""
        if self._followed is not None:
            self._followed.run_finished(result)

    def close(self) -> None:
        """Let go."""
        if self._followed is not None:
            self._followed.close()


@contextmanager
def following(trackers: Mapping[str, Tracker], manager: pluggy.PluginManager) -> Generator[None]:
    """Let trackers hear the events of one run while inside."""
    listeners = {f"tracker {name}": Listener(tracker) for name, tracker in trackers.items()}
    for name, listener in listeners.items():
        manager.register(listener, name=name)
    try:
        yield
    finally:
        for name, listener in listeners.items():
            manager.unregister(listener)
            try:
                listener.close()
            except Exception as error:
                message = f"{name} raised {type(error).__name__} when it was closed: {error}"
                warnings.warn(message, RuntimeWarning, stacklevel=2)
