"""The sign-flip permutation test of paired differences."""

from __future__ import annotations

import math

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..foundation.rng import Streams

RESAMPLES = 2**16
"""Number of sign patterns; the test is exact if there are no more than these, that is up to 16 pairs."""

TIE = 1e-9
"""Sums this close to the observed one, relative to the largest possible, count as ties up to rounding."""


@attrs.frozen(kw_only=True)
class SignFlip:
    """Result of the test."""

    p: float
    """Two-sided."""
    exact: bool
    """Whether all sign patterns were enumerated."""


def sign_flip(
    differences: ArrayLike, *, resamples: int = RESAMPLES, rng: np.random.Generator | None = None
) -> SignFlip | None:
    """Two-sided paired permutation test of `differences` `(n,)` between two arms, one per seed.

    If the arms are exchangeable, both signs of a difference are equally likely. With `T(s) = |sum_i s_i d_i|`
    for signs `s`, `p = #{s : T(s) >= T(1)} / 2^n` over all patterns. If these are more than `resamples`,
    `p = (1 + #{T(s_j) >= T(1)}) / (1 + resamples)` over random ones, which is a valid p-value.

    Returns:
        None without pairs, or if one is not finite.

    References:
        Fisher, The Design of Experiments (1935), section 21; Phipson and Smyth, "Permutation p-values should never be
        zero", Stat. Appl. Genet. Mol. Biol. 9 (2010), for the correction by 1.
    """
    values = np.asarray(differences, dtype=np.float64)
    if len(values) == 0 or not np.all(np.isfinite(values)):
        return None
    largest = float(np.abs(values).max())
    if largest == 0.0:
        return SignFlip(p=1.0, exact=True)
    # p does not depend on the differences' scale; sums of values within [-1, 1] cannot overflow.
    values = values / largest
    # Sums in another order differ by rounding; a lower bar counts those ties, which errs towards larger p.
    observed = abs(float(values.sum())) - TIE * float(np.abs(values).sum())
    if 2 ** len(values) <= resamples:
        # T(-s) = T(s), so half of the patterns suffice.
        return SignFlip(p=float(np.mean(np.abs(_all_sums(values)) >= observed)), exact=True)
    draws = Streams(0)("sign-flip") if rng is None else rng
    signs = draws.integers(0, 2, size=(resamples, len(values)), dtype=np.int8)
    sums = (2.0 * signs - 1.0) @ values
    return SignFlip(p=float((1 + np.sum(np.abs(sums) >= observed)) / (1 + resamples)), exact=False)


def _all_sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """`sum_i s_i d_i` for all `2^(n-1)` patterns with `s_1 = 1`."""
    # The first sign is fixed: T does not change if all signs flip.
    sums = values[:1]
    for value in values[1:]:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def smallest_p(pairs: int) -> float:
    """The smallest two-sided p of the exact test with `pairs` pairs: `2 / 2^n`, all differences of one sign."""
    return min(1.0, 2.0 ** (1 - pairs))


def pairs_needed(alpha: float, tests: int = 1) -> int:
    """Pairs needed for a smallest p of at most `alpha` after Holm's correction for `tests` tests: `ceil(log2(2 m / alpha))`.

    Raises ValueError for an `alpha` outside (0, 1) or less than one test.
    """
    if not 0.0 < alpha < 1.0 or tests < 1:
        raise ValueError(f"alpha {alpha} must lie in (0, 1), tests {tests} must be at least 1")
    pairs = math.ceil(math.log2(2 * tests / alpha))
    while tests * smallest_p(pairs) > alpha:  # log2 may have been rounded down
        pairs += 1
    return max(1, pairs)
