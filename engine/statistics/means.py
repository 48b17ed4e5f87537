"""Interval of a mean over examples, few or many."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .bootstrap import Interval, bca

MANY = 2000
"""Values above which the interval of a mean is the normal one: a bootstrap would take seconds and gigabytes, and its corrections, of the
order of `1 / n`, no longer show."""


def mean_interval(values: NDArray[np.float64], confidence: float = 0.95) -> Interval:
    """BCa bootstrap of the mean of `values` `(n,)`, above `MANY` of them `mean +- z s / sqrt(n)`.

    None for fewer than two, or where one is not finite.
    """
    if len(values) <= MANY:
        return bca(values, confidence)
    if not np.isfinite(values).all():
        return None
    from statistics import NormalDist  # noqa: PLC0415 - only for many examples

    mean = float(np.mean(values))
    half = NormalDist().inv_cdf((1 + confidence) / 2) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return mean - half, mean + half
