"""Draws of examples from a selection."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..contracts import Selection


def stratified_draws(
    selection: Selection, count: int, size: int, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """`count` draws of `size` examples each, in which every example comes as often as its weight says.

    A draw is stratified: the selection's weights, laid end to end, are cut into `size` equal stretches, and one example is drawn
    from each. So a sampler's shares hold in every draw, not only on average.
    """
    edges = np.cumsum(selection.weights)
    starts = np.arange(size)
    drawn = list[NDArray[np.int64]]()
    for _ in range(count):
        points = (starts + rng.random(size)) / size * edges[-1]
        places = np.minimum(np.searchsorted(edges, points, side="right"), len(edges) - 1)
        drawn.append(selection.indices[places])
    return drawn
