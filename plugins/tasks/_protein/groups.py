"""Group splits: examples that share a key are in one split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ....engine.errors import UsageError

Index = NDArray[np.int64]

TRIALS = 1000
"""Random orders of the groups; the one closest to the shares is used."""


def connected(keys: Sequence[Sequence[str]]) -> Index:
    """Connected components `(n,)` of examples that share keys, by union-find.

    A component's number is the index of its first example.
    """
    roots = list(range(len(keys)))

    def root(i: int) -> int:
        while roots[i] != i:
            roots[i] = roots[roots[i]]
            i = roots[i]
        return i

    first = dict[str, int]()
    for i, own in enumerate(keys):
        for key in own:
            a, b = root(first.setdefault(key, i)), root(i)
            roots[max(a, b)] = min(a, b)
    return np.array([root(i) for i in range(len(keys))], dtype=np.int64)


def group_split(
    labels: Index,
    groups: Index,
    shares: Mapping[str, float],
    rng: np.random.Generator,
    *,
    where: str = "data",
) -> dict[str, Index]:
    """Indices of each named split and of `train`, which gets the remaining share; no group is divided.

    Examples are sorted by id; `labels` `(n,)` are 0 or 1, `groups` `(n,)` number the groups. Of `TRIALS` random orders of the groups,
    each cut where the splits come closest to their shares of the examples, the one is used whose splits have both classes and
    minimise `sum_{split, class} |n_sc - share_s N_c| / N_c`. If no order gives every split both classes, groups are assigned
    greedily, both classes first. Raises `UsageError` if that is impossible.
    """
    parts = (*shares, "train")
    _, members = np.unique(groups, return_inverse=True)
    counts = np.zeros((int(members.max(initial=-1)) + 1, 2), dtype=np.int64)
    np.add.at(counts, (members, labels), 1)
    _check(counts, parts, where)
    wanted = np.array([*shares.values(), 1.0 - sum(shares.values())])
    orders = rng.permuted(np.tile(np.arange(len(counts)), (TRIALS, 1)), axis=1)
    given = _cut(counts, orders, wanted)
    costs = np.array([_cost(counts, assignment, wanted) for assignment in given])
    best = given[np.lexsort((costs[:, 1], costs[:, 0]))[0]]
    if costs[:, 0].min() > 0:
        best = _greedy(counts, orders[0], wanted)
    return {part: np.flatnonzero(best[members] == p) for p, part in enumerate(parts)}


def _check(counts: Index, parts: Sequence[str], where: str) -> None:
    """Check that every split can have both classes: from one group with both, or from one group of each."""
    has = counts > 0
    both, weak, tight = (int((has == pattern).all(axis=1).sum()) for pattern in ([1, 1], [1, 0], [0, 1]))
    if both + min(tight, weak) < len(parts):
        raise UsageError(
            f"{where}: {', '.join(parts)} each need both classes in whole groups; there are {len(counts)} groups: "
            f"{both} with both classes, {tight} with only binders, {weak} with none. "
            "Set another threshold, or give the splits by a column (split)"
        )


def _cut(counts: Index, orders: Index, wanted: NDArray[np.float64]) -> Index:
    """Splits of the groups `(trials, groups)`: every order is cut in sequence, with at least one group per split."""
    groups = len(counts)
    ends = np.cumsum(counts.sum(axis=1)[orders], axis=1)
    places, start = np.arange(1, groups + 1), np.zeros((len(orders), 1), dtype=np.int64)
    assignment = np.full_like(orders, len(wanted) - 1)
    done = np.zeros((len(orders), 1), dtype=np.int64)
    for part, share in enumerate(wanted[:-1]):
        legal = (places > start) & (places <= groups - (len(wanted) - 1 - part))
        off = np.where(legal, np.abs(ends - done - share * ends[:, -1:]), np.inf)
        end = np.argmin(off, axis=1)[:, None] + 1
        inside = (places > start) & (places <= end)
        rows, columns = np.nonzero(inside)
        assignment[rows, orders[rows, columns]] = part
        start, done = end, np.take_along_axis(ends, end - 1, axis=1)
    # The remaining groups belong to the last split; columns are group numbers.
    return assignment


def _cost(counts: Index, assignment: Index, wanted: NDArray[np.float64]) -> tuple[int, float]:
    """The number of missing classes over all splits, and the distance to the shares of each class."""
    held = np.zeros((len(wanted), 2), dtype=np.int64)
    np.add.at(held, assignment, counts)
    total = counts.sum(axis=0)
    return int((held == 0).sum()), float(np.abs(held / total - wanted[:, None]).sum())


def _greedy(counts: Index, order: Index, wanted: NDArray[np.float64]) -> Index:
    """Greedy assignment: first both classes for every split, then each remaining group to the split with the largest deficit."""
    both = [g for g in order.tolist() if counts[g].all()]
    single = [[g for g in order.tolist() if counts[g, c] and not counts[g, 1 - c]] for c in (0, 1)]
    assignment = np.full(len(counts), -1, dtype=np.int64)
    held = np.zeros(len(wanted))
    for part in range(len(wanted)):
        for group in [both.pop()] if both else [pool.pop() for pool in single]:
            assignment[group] = part
            held[part] += counts[group].sum()
    target = wanted * counts.sum()
    for group in (g for g in order.tolist() if assignment[g] < 0):
        part = int(np.argmax(target - held))
        assignment[group] = part
        held[part] += counts[group].sum()
    return assignment
