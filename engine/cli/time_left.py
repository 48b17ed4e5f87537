"""The time left for a run, estimated from its finished rounds."""

from __future__ import annotations

from collections.abc import Sequence

RECENT = 5
"""Rounds of a kind whose mean is the estimate: rounds grow costlier with the rank of the ensemble."""


class RoundTimes:
    """Seconds of finished rounds, those with new directions and refits apart: a refit trains all earlier cores."""

    def __init__(self, refits: Sequence[bool], steps: Sequence[int]) -> None:
        self._refits, self._steps = refits, steps
        """Whether each round is a refit, and its optimiser steps; round 1 is the first."""
        self._seconds = {False: list[float](), True: list[float]()}
        self._done, self._began = 0, 0.0

    def add(self, number: int, seconds: float, now: float) -> None:
        """Record a round's duration; the next one starts now. Round 0 is the base, which trains nothing."""
        if 1 <= number <= len(self._refits) and seconds > 0:
            self._seconds[self._refits[number - 1]].append(seconds)
        self._done, self._began = number, now

    def finish(self, number: int, now: float) -> None:
        """Record the end of a round that started where the last one ended."""
        self.add(number, now - self._began if number else 0.0, now)

    def left(self, now: float) -> float | None:
        """Estimated seconds left for all rounds; None while no round with new directions is finished."""
        kinds = self._refits[self._done :]
        if not self._seconds[False] or not kinds:
            return None
        later = kinds[1:]
        refits = sum(later)
        current = max(0.0, self._cost(refit=kinds[0]) - (now - self._began))
        return current + refits * self._cost(refit=True) + (len(later) - refits) * self._cost(refit=False)

    def _cost(self, *, refit: bool) -> float:
        """Seconds of a round of this kind; a refit where none has been run is scaled by its steps."""
        refits, fresh = self._seconds[True], self._seconds[False]
        if refit and refits:
            return refits[-1]  # each refit trains more cores than the one before
        recent = (fresh[1:] or fresh)[-RECENT:]  # the first round also starts caches and threads
        return sum(recent) / len(recent) * (self._step_ratio() if refit else 1.0)

    def _step_ratio(self) -> float:
        """Steps of a refit relative to a round with new directions; at least 1."""
        steps = dict(zip(self._refits, self._steps, strict=True))
        return max(1.0, steps.get(True, 1) / max(1, steps.get(False, 1)))
