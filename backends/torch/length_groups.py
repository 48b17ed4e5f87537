"""Batches of examples with similar lengths, to minimise padding."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ...engine.contracts import Examples, Tokens

Index = NDArray[np.int64]


def lengths_of(examples: Examples) -> Index:
    """Cost of each example `(n,)`: its number of tokens, or 1."""
    inputs = examples.inputs
    return inputs.lengths if isinstance(inputs, Tokens) else np.ones(len(examples), dtype=np.int64)


def by_budget(lengths: Index, budget: int, count: int = 0) -> Iterator[Index]:
    """Groups of indices, shortest first, each of at most `budget` tokens including padding (or of one example), and of at most `count`.

    With `count` 0, only the budget limits a group.
    """
    order, start = np.argsort(lengths, kind="stable"), 0
    for end in range(1, len(order) + 1):
        full = end == len(order) or end - start == count
        if full or int(lengths[order[end]]) * (end + 1 - start) > budget:
            yield order[start:end]
            start = end


def by_count(lengths: Index, count: int) -> list[Index]:
    """Groups of at most `count` indices, shortest first; with `count` 0 one group of all, in order."""
    if not count or count >= len(lengths):
        return [np.arange(len(lengths))]
    order = np.argsort(lengths, kind="stable")
    return [order[start : start + count] for start in range(0, len(order), count)]
