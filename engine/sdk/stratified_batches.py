"""Batches of a selection, by stratified sampling."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..contracts import Batch, Selection


def stratified_draws(
    selection: Selection, count: int, size: int, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """`count` batches of indices `(size,)`, in which an example occurs in proportion to its weight.

    Stratified resampling: the cumulative weights are cut into `size` equal intervals, and one point is drawn uniformly from each. A
    sampler's shares so hold in every batch, not only on average.
    """
    edges = np.cumsum(selection.weights)
    starts = np.arange(size)
    drawn = list[NDArray[np.int64]]()
    for _ in range(count):
        points = (starts + rng.random(size)) / size * edges[-1]
        # Rounding may put a point beyond the last edge.
        positions = np.minimum(np.searchsorted(edges, points, side="right"), len(edges) - 1)
        drawn.append(selection.indices[positions])
    return drawn


def stratified_batches(
    selection: Selection, steps: int, batch_size: int, rng: np.random.Generator, *, delta: float | None = None
) -> list[Batch]:
    """`steps` batches of labelled examples with loss weights 1, each a stratified draw; `delta` is the threshold of a Huber loss."""
    drawn = stratified_draws(selection, steps, batch_size, rng)
    return [Batch(indices=indices, weights=np.ones(batch_size), delta=delta) for indices in drawn]
