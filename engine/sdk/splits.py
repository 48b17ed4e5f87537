"""Stratified splits with grouped duplicates, independent of the order of the file."""

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
    groups: Index | None = None,
    strict: bool = False,
) -> dict[str, Index]:
    """Indices of each named part, and of `train`, which gets the rest.

    Every class is sorted by id, shuffled and cut separately; a part of a class of n examples has
    `round(share * n)` of them. Examples with the same number in `groups` `(n,)` (duplicate inputs) stay in one part, which prevents
    leakage between splits; a group has the class of its example with the smallest id. A part then comes as close to its share as whole
    groups allow, and the largest groups are in `train`. If a part would have less than half its share, as in a table with few distinct
    rows, groups are ignored, unless `strict`: then every group is whole whatever the shares, as groups of patients or of families of
    proteins must be, and a part may even be empty.
    """
    singletons = np.arange(len(ids))
    if groups is None or len(np.unique(groups)) == len(ids):
        return _split_groups(ids, labels, singletons, shares, rng)
    parts = _split_groups(ids, labels, groups, shares, rng)
    counts = np.unique(labels, return_counts=True)[1].tolist()
    wanted = {name: sum(round(share * count) for count in counts) for name, share in shares.items()}
    if not strict and any(2 * len(parts[name]) < count for name, count in wanted.items()):
        return _split_groups(ids, labels, singletons, shares, rng)
    return parts


def _split_groups(
    ids: Index, labels: Index, sets: Index, shares: Mapping[str, float], rng: np.random.Generator
) -> dict[str, Index]:
    """Parts of whole groups; each class's groups are sorted by their smallest id, then shuffled."""
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
            taken = _select_groups(sizes[drawn], round(share * count))
            home[drawn[taken]] = number
            drawn = drawn[~taken]
    return {name: np.sort(order[home[members] == number]) for number, name in enumerate((*shares, "train"))}


def _select_groups(sizes: Index, wanted: int) -> NDArray[np.bool_]:
    """Which groups make up a part: greedily those that fit, then the smallest other one if that brings the size closer to `wanted`."""
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
