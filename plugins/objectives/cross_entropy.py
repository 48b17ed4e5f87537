"""Supervised learning: raise the likelihood of the right answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from ...engine.contracts import Batch, Selection
from ...engine.hookspecs import hookimpl


@attrs.frozen(kw_only=True)
class CrossEntropy:
    """`-1/b sum_i log p(y_i | x_i)` over batches in which every example comes as often as its weight says.

    A batch of b is a stratified draw: the selection's weights, laid end to end, are cut into b equal stretches, and one
    example is drawn from each. So a sampler's shares hold in every batch, not only on average.
    """

    def batches(
        self, selection: Selection, steps: int, batch_size: int, rng: np.random.Generator
    ) -> Sequence[Batch]:
        """`steps` batches with log-likelihood weights 1."""
        edges = np.cumsum(selection.weights)
        starts = np.arange(batch_size)
        drawn = list[Batch]()
        for _ in range(steps):
            points = (starts + rng.random(batch_size)) / batch_size * edges[-1]
            places = np.minimum(np.searchsorted(edges, points, side="right"), len(edges) - 1)
            drawn.append(Batch(indices=selection.indices[places], weights=np.ones(batch_size)))
        return drawn


@hookimpl
def register_objectives(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `cross-entropy`."""
    register("cross-entropy", CrossEntropy)
