"""Splits that keep the share of every class, and do not depend on the order of the file."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int64]


def stratified(
    ids: Index, labels: Index, shares: Mapping[str, float], rng: np.random.Generator
) -> dict[str, Index]:
    """Indices of each named part, and of `train`, which is what the shares leave.

    Every class is shuffled (by its examples' ids) and cut on its own; a part of a class of n examples has
    `round(share * n)` of them.
    """
    parts: dict[str, list[Index]] = {name: [] for name in (*shares, "train")}
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        members = rng.permutation(members[np.argsort(ids[members], kind="stable")])
        start = 0
        for name, share in shares.items():
            size = round(share * len(members))
            parts[name].append(members[start : start + size])
            start += size
        parts["train"].append(members[start:])
    return {name: np.sort(np.concatenate(chunks)) for name, chunks in parts.items()}
