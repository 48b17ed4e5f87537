"""Axes: a range that holds all values, and round numbers along it."""

from __future__ import annotations

import math
from collections.abc import Iterable

import attrs


@attrs.frozen(kw_only=True)
class Scale:
    """A linear axis from `low` to `high`."""

    low: float
    high: float
    step: float

    def at(self, value: float) -> float:
        """Where a value lies, in percent of the axis; what lies outside is put at its end."""
        share = (value - self.low) / (self.high - self.low)
        return round(100 * min(1.0, max(0.0, share)), 2)

    @property
    def ticks(self) -> tuple[float, ...]:
        """Round numbers on the axis."""
        first = math.ceil(self.low / self.step - 1e-9)
        last = math.floor(self.high / self.step + 1e-9)
        return tuple(round(i * self.step, 12) + 0.0 for i in range(first, last + 1))


def scale_of(values: Iterable[float | None], *, zero: bool = False, count: int = 5) -> Scale:
    """An axis for these values, with about `count` steps and a little air at both ends; `zero` puts 0 on it."""
    known = [value for value in values if value is not None and math.isfinite(value)] + (
        [0.0] if zero else []
    )
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    if high - low <= 1e-12 * max(1.0, abs(high)):
        margin = 0.5 * abs(high) or 1.0
        low, high = low - margin, high + margin
    air = 0.04 * (high - low)
    low, high = low - air, high + air
    return Scale(low=low, high=high, step=_step((high - low) / count))


def _step(rough: float) -> float:
    """1, 2 or 5 times a power of ten, the nearest above."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
