"""Where the time of a round goes."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager


class Clock:
    """Seconds spent in each part of a round."""

    def __init__(self) -> None:
        self.seconds = dict[str, float]()

    @contextmanager
    def __call__(self, part: str) -> Generator[None]:
        """Add the time inside to a part."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - start
