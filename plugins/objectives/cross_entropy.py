"""Supervised learning: raise the likelihood of the right answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from ...engine.contracts import Batch, Selection
from ...engine.hookspecs import hookimpl
from ...engine.sdk.stratified_batches import stratified_draws


@attrs.frozen(kw_only=True)
class CrossEntropy:
    """`-1/b sum_i log p(y_i | x_i)` over batches in which every example comes as often as its weight says."""

    def batches(
        self, selection: Selection, steps: int, batch_size: int, rng: np.random.Generator
    ) -> Sequence[Batch]:
        """`steps` batches with log-likelihood weights 1, each a stratified draw."""
        drawn = stratified_draws(selection, steps, batch_size, rng)
        return [Batch(indices=indices, weights=np.ones(batch_size)) for indices in drawn]


@hookimpl
def register_objectives(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `cross-entropy`."""
    register("cross-entropy", CrossEntropy)
