"""Bootstrap intervals of means over few values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..foundation.rng import Streams

RESAMPLES = 9999
"""Bootstrap samples; the end of a 95 % interval then wavers by about a hundredth of its width."""

NARROW = 10
"""Below so many values a bootstrap interval is too narrow: measured on normal values, a nominal 95 % interval of 3, 5, 8, 10
and 20 values covers the mean in 72, 84, 87, 89 and 92 % of cases."""

CONSTANT = 8 * np.finfo(np.float64).eps
"""Relative spread below which values differ by rounding alone."""

Interval = tuple[float, float] | None


def stream() -> np.random.Generator:
    """A generator that always draws the same, so that the same data always give the same interval."""
    return Streams(0)("bootstrap")


def bca(
    values: ArrayLike,
    confidence: float = 0.95,
    *,
    resamples: int = RESAMPLES,
    rng: np.random.Generator | None = None,
) -> Interval:
    """BCa interval of the mean of `values` `(n,)`: see `bca_many`."""
    return bca_many([np.asarray(values, dtype=np.float64)], confidence, resamples=resamples, rng=rng)[0]


def bca_many(
    columns: Sequence[ArrayLike] | NDArray[np.float64],
    confidence: float = 0.95,
    *,
    resamples: int = RESAMPLES,
    rng: np.random.Generator | None = None,
) -> list[Interval]:
    """Bias-corrected, accelerated bootstrap intervals of the means of `columns` `(k, n)`, from the same resamples.

    The ends are the quantiles `Phi(z0 + (z0 + z) / (1 - a (z0 + z)))` of the resampled means, with `z0` for their bias
    and `a` for the skewness of the values, estimated by the jackknife. A column's interval depends on its own values alone,
    not on those beside it. Of fewer than `NARROW` values it is too narrow (see there), which no bootstrap can help.

    Args:
        columns: each of the same length n.
        confidence: nominal coverage, in (0, 1).
        resamples: bootstrap samples.
        rng: where resamples are drawn from; by default a fixed stream.

    Returns:
        An interval a column: None where n < 2 or a value is not finite; the value itself, twice, where all are equal.

    Reference:
        Efron, "Better bootstrap confidence intervals", JASA 82 (1987), 171-185.
    """
    table = np.asarray(columns, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 2:
        return [None] * len(table)
    low, high = table.min(axis=1), table.max(axis=1)
    with np.errstate(invalid="ignore"):
        varied = high - low > CONSTANT * np.maximum(np.abs(low), np.abs(high))
    finite: NDArray[np.bool_] = np.all(np.isfinite(table), axis=1)
    intervals = [(float(a), float(b)) if ok else None for a, b, ok in zip(low, high, finite, strict=True)]
    chosen = np.flatnonzero(finite & varied)
    ends = _ends(table[chosen], confidence, resamples, stream() if rng is None else rng)
    for index, end in zip(chosen.tolist(), ends, strict=True):
        intervals[index] = (float(end[0]), float(end[1]))
    return intervals


def _ends(
    table: NDArray[np.float64], confidence: float, resamples: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """`(k, 2)` ends of the intervals of `(k, n)` values, none of whose rows is constant."""
    from scipy.stats import bootstrap  # noqa: PLC0415 - the command line starts without it

    if len(table) == 0:
        return np.zeros((0, 2))
    # On [0, 1], in which the interval is the same but for the unit, rounding errors have one size.
    origin = table.min(axis=1, keepdims=True)
    spread = table.max(axis=1, keepdims=True) - origin
    scaled = (table - origin) / spread
    # Of many columns take fewer at a time: all resamples of all columns at once would fill the memory.
    at_once = max(1, 2**24 // (resamples * table.shape[1]))
    found = list[NDArray[np.float64]]()
    state = rng.bit_generator.state
    for start in range(0, len(table), at_once):
        rng.bit_generator.state = state  # every column sees the same resamples
        interval = bootstrap(
            (scaled[start : start + at_once],),
            _mean,
            axis=-1,
            confidence_level=confidence,
            n_resamples=resamples,
            method="BCa",
            rng=rng,
        ).confidence_interval
        found.append(np.stack([interval.low, interval.high], axis=-1))
    return origin + np.concatenate(found) * spread


def _mean(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """The mean of values in [0, 1], to nine decimals.

    Accuracies are multiples of one over the examples, so many resamples have the very mean that was observed; BCa counts
    such ties, and what floats are rounded to must not decide about them.
    """
    return np.round(np.mean(values, axis=axis), 9)
