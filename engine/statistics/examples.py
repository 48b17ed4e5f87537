"""Two models on the same examples, over one training seed or several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from .bootstrap import RESAMPLES, Interval, stream
from .mcnemar import mcnemar

Answers = tuple[NDArray[np.int64], NDArray[np.bool_]]
"""Ids `(n,)` of examples, each once, and whether the model is right on them `(n,)`."""


MAX_DIRECT_PRODUCTS = 10**8
"""Largest number of products of a direct convolution, about 0.1 s."""


@attrs.frozen(kw_only=True)
class PairedExamples:
    """Counts over pairs of example and seed, with test and interval."""

    only_first: int
    only_second: int
    both: int
    neither: int
    examples: int
    """Distinct examples."""
    difference: float
    """Accuracy of the first minus that of the second, over all pairs."""
    p: float
    test: Literal["mcnemar", "permutation"]
    interval: Interval
    """Of the difference; None for a single example."""


def compare_examples(
    pairs: Sequence[tuple[Answers, Answers]],
    confidence: float = 0.95,
    *,
    resamples: int = RESAMPLES,
    rng: np.random.Generator | None = None,
) -> PairedExamples | None:
    """Compare two models on their common examples, with one pair of answers per seed.

    An example that occurs in several seeds is one cluster, since its answers are not independent: the test flips the signs of
    all its differences together, and the interval resamples it as a whole. Test and interval cover the sampling of
    examples, given these trained models, not training. One seed: the exact McNemar test. Several: the exact sign-flip
    test of the sums by example (`flip_sums`).

    Returns:
        None if no seed has an example in both answers.
    """
    ids, first, second = _align(pairs)
    if len(ids) == 0:
        return None
    net = first.astype(np.int64) - second.astype(np.int64)
    _, cluster = np.unique(ids, return_inverse=True)
    # By example, wins minus losses over seeds: an integer, so that the test below can be exact.
    sums = np.bincount(cluster, weights=net).astype(np.int64)
    sizes = np.bincount(cluster)
    wins, losses = int(np.sum(net > 0)), int(np.sum(net < 0))
    single = len(pairs) == 1
    return PairedExamples(
        only_first=wins,
        only_second=losses,
        both=int(np.sum(first & second)),
        neither=int(np.sum(~first & ~second)),
        examples=len(sums),
        difference=float(np.mean(net)),
        p=mcnemar(wins, losses) if single else flip_sums(sums),
        test="mcnemar" if single else "permutation",
        interval=cluster_interval(sums, sizes, confidence, resamples=resamples, rng=rng),
    )


def flip_sums(sums: NDArray[np.int64]) -> float:
    """Exact two-sided sign-flip p of integer differences `(n,)`, without sampling permutations.

    The k differences of size v add `v (2 B - k)` with `B ~ Binomial(k, 1/2)`, so the distribution of the permuted sum is the
    convolution of these over the sizes. If all differences are +1 or -1, this is McNemar's test.
    """
    from scipy.stats import binom  # noqa: PLC0415 - the command line starts without it

    # A zero difference stays zero under any sign, so it does not change the distribution.
    sizes, counts = np.unique(np.abs(sums[sums != 0]), return_counts=True)
    pmf = np.ones(1)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        part = np.zeros(size * count + 1)  # the sum rises in steps of 2 v, the grid in steps of 2
        part[::size] = binom.pmf(np.arange(count + 1), count, 0.5)
        pmf = _convolved(pmf, part)
    # The grid of sums runs from `-sum |d_i|` to `sum |d_i|` in steps of 2; ties with the observed sum count.
    values = 2 * np.arange(len(pmf)) - (len(pmf) - 1)
    # Observed and possible sums are integers, so ties need no tolerance.
    p = float(pmf[np.abs(values) >= abs(int(sums.sum()))].sum())
    # Convolution by FFT can leave values slightly outside [0, 1].
    return min(1.0, max(0.0, p))


def _convolved(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """The convolution `a * b`, directly for small inputs: importing `scipy.signal` takes longer than most comparisons."""
    if len(a) * len(b) <= MAX_DIRECT_PRODUCTS:
        return np.convolve(a, b)
    from scipy.signal import convolve  # noqa: PLC0415

    return convolve(a, b)


def cluster_interval(
    sums: NDArray[np.int64],
    sizes: NDArray[np.int64],
    confidence: float = 0.95,
    *,
    resamples: int = RESAMPLES,
    rng: np.random.Generator | None = None,
) -> Interval:
    """Percentile bootstrap interval of `sum(sums) / sum(sizes)`, resampling examples with all their seeds.

    `sums` and `sizes` `(n,)` are net wins and numbers of seeds by example. Examples with equal values are drawn together by
    a multinomial, which has the same distribution as drawing them one by one. None for fewer than two examples.

    Reference:
        Field and Welsh, "Bootstrapping clustered data", J. R. Statist. Soc. B 69 (2007), 369-390.
    """
    if len(sums) < 2:
        return None
    kinds, counts = np.unique(np.stack([sums, sizes]), axis=1, return_counts=True)
    draws = (stream() if rng is None else rng).multinomial(len(sums), counts / len(sums), size=resamples)
    # A ratio: resamples of clusters of unequal size differ in their number of pairs.
    rates = (draws @ kinds[0]) / (draws @ kinds[1])
    low, high = np.quantile(rates, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _align(
    pairs: Sequence[tuple[Answers, Answers]],
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Ids and the answers of both models, concatenated over seeds."""
    parts = list[tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]]()
    for (ids_first, first), (ids_second, second) in pairs:
        # Seeds may have different splits: only examples in both answers of a seed form pairs.
        common, here, there = np.intersect1d(ids_first, ids_second, return_indices=True)
        parts.append((common.astype(np.int64), first[here], second[there]))
    if not parts:
        empty = np.zeros(0, dtype=np.bool_)
        return np.zeros(0, dtype=np.int64), empty, empty
    ids, first, second = (np.concatenate(column) for column in zip(*parts, strict=True))
    return ids, first, second
