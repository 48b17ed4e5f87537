"""Splits that keep the share of every class, and do not depend on the order of the file."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int64]


def stratified(
    ids: Index,
    labels: Index,
    shares: Mapping[str, float],
    rng: np.random.Generator,
    *,
    same: Index | None = None,
) -> dict[str, Index]:
    """Indices of each named part, and of `train`, which is what the shares leave.

    Every class is shuffled (by its examples' ids) and cut on its own; a part of a class of n examples has
    `round(share * n)` of them. Examples with the same number in `same` `(n,)`, those of equal inputs, lie in one part, and count
    for the class of the one with the smallest id; a part then comes as close to its share as whole sets can, and the largest sets
    lie in `train`. Where a part would have less than half its share so, as in a table of few different rows, equal inputs are
    divided like others. Data without equal inputs is divided as without `same`.
    """
    apart = np.arange(len(ids))
    if same is None or len(np.unique(same)) == len(ids):
        return _drawn(ids, labels, apart, shares, rng)
    parts = _drawn(ids, labels, same, shares, rng)
    counts = np.unique(labels, return_counts=True)[1].tolist()
    wanted = {name: sum(round(share * count) for count in counts) for name, share in shares.items()}
    if any(2 * len(parts[name]) < count for name, count in wanted.items()):
        return _drawn(ids, labels, apart, shares, rng)
    return parts


def _drawn(
    ids: Index, labels: Index, sets: Index, shares: Mapping[str, float], rng: np.random.Generator
) -> dict[str, Index]:
    """Parts of whole sets, each class's shuffled in the order of their smallest ids."""
    order = np.argsort(ids, kind="stable")
    _, first, members, sizes = np.unique(
        sets[order], return_index=True, return_inverse=True, return_counts=True
    )
    heads = order[first]
    home = np.full(len(sizes), len(shares), dtype=np.int64)
    for label in np.unique(labels[heads]):
        drawn = np.flatnonzero(labels[heads] == label)
        drawn = rng.permutation(drawn[np.argsort(ids[heads[drawn]], kind="stable")])
        count = int(sizes[drawn].sum())
        for number, share in enumerate(shares.values()):
            taken = _filled(sizes[drawn], round(share * count))
            home[drawn[taken]] = number
            drawn = drawn[~taken]
    return {name: np.sort(order[home[members] == number]) for number, name in enumerate((*shares, "train"))}


def _filled(sizes: Index, wanted: int) -> NDArray[np.bool_]:
    """Which sets make up a part: the first that fit, then the smallest of the others if it comes closer to what is wanted."""
    taken, missing = np.zeros(len(sizes), dtype=bool), wanted
    for i, size in enumerate(sizes.tolist()):
        if size <= missing:
            taken[i] = True
            missing -= size
    rest = np.flatnonzero(~taken)
    if missing and len(rest):
        smallest = rest[np.argmin(sizes[rest])]
        taken[smallest] = sizes[smallest] <= 2 * missing
    return taken
