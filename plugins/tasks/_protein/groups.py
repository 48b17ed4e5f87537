"""Parts made of whole groups: nothing that two examples share lies in two parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ....engine.errors import UsageError

Index = NDArray[np.int64]

TRIALS = 1000
"""Random orders of the groups among which the closest to the shares is taken."""


def connected(keys: Sequence[Sequence[str]]) -> Index:
    """Numbers `(n,)` of the groups of examples that are linked by a shared key, directly or through others.

    A group's number is that of its first example in the order given.
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
    """Indices of each named part, and of `train`, which is what the shares leave; a group lies in one of them.

    Examples come in an order of their own (that of their ids), `labels` `(n,)` are 0 or 1, `groups` `(n,)` number the groups. Of
    `TRIALS` random orders of the groups, each cut where the parts come closest to their shares of the examples, that order is taken
    whose parts have both classes and are closest to their shares of each class, `min sum_{part, class} |n_pc - share_p N_c| / N_c`.
    Where no order gives every part both classes, and they can be had, the rarest are dealt out first. Raises `UsageError` where they cannot.
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
        best = _dealt(counts, orders[0], wanted)
    return {part: np.flatnonzero(best[members] == p) for p, part in enumerate(parts)}


def _check(counts: Index, parts: Sequence[str], where: str) -> None:
    """Whether every part can have both classes: a group of both serves one alone, else one of each does."""
    has = counts > 0
    both, weak, tight = (int((has == pattern).all(axis=1).sum()) for pattern in ([1, 1], [1, 0], [0, 1]))
    if both + min(tight, weak) < len(parts):
        raise UsageError(
            f"{where}: {', '.join(parts)} each need both classes, of whole groups; there are {len(counts)} groups: "
            f"{both} with both classes, {tight} with binders alone, {weak} without a binder. "
            "Set another threshold, or give the parts by a column (split)"
        )


def _cut(counts: Index, orders: Index, wanted: NDArray[np.float64]) -> Index:
    """Parts of the groups `(trials, groups)`: every order cut one after the other, at least one group each."""
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
    # What was not cut off is the last part's; groups were written by their own number.
    return assignment


def _cost(counts: Index, assignment: Index, wanted: NDArray[np.float64]) -> tuple[int, float]:
    """How many classes parts are without, and how far they are from their shares of each class."""
    held = np.zeros((len(wanted), 2), dtype=np.int64)
    np.add.at(held, assignment, counts)
    total = counts.sum(axis=0)
    return int((held == 0).sum()), float(np.abs(held / total - wanted[:, None]).sum())


def _dealt(counts: Index, order: Index, wanted: NDArray[np.float64]) -> Index:
    """Both classes for every part first, by groups of both or one of each; then what is left, where most is missing."""
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
