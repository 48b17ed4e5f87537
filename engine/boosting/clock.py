"""Wall time of a round, by phase."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager


class Clock:
    """Seconds spent in each phase of a round."""

    def __init__(self) -> None:
        self.seconds = dict[str, float]()

    @contextmanager
    def __call__(self, phase: str) -> Generator[None]:
        """Add the time spent inside to a phase. A phase may be entered several times."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - start
