"""Stratified sampling of batches from a selection."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..contracts import Selection


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
