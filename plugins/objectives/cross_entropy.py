"""Supervised learning by maximum likelihood."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from ...engine.contracts import Batch, Selection
from ...engine.foundation.options import option
from ...engine.hookspecs import hookimpl
from ...engine.sdk.stratified_batches import stratified_batches


@attrs.frozen(kw_only=True)
class CrossEntropy:
    """`L = -1/b sum_i w_i log p(y_i | x_i)` over batches that sample examples in proportion to their weights.

    `w_i` is 1 or, with `class_weights = "balanced"`, `n / (k n_c)` for one of the `n_c` examples of class c, among n training examples of
    k classes: every class then weighs the same, and the mean over the training split is 1.
    """

    class_weights: Literal["none", "balanced"] = option(
        "none", "loss weights of the classes: equal, or larger the rarer a class is"
    )

    def batches(
        self, selection: Selection, steps: int, batch_size: int, rng: np.random.Generator
    ) -> Sequence[Batch]:
        """`steps` batches with loss weights 1, each a stratified draw."""
        return stratified_batches(selection, steps, batch_size, rng)

    def label_weights(self, labels: NDArray[np.int64], classes: int) -> NDArray[np.float64] | None:
        """`n / (k n_c)` for every label `(n,)`, with k the number of classes that occur."""
        if self.class_weights == "none":
            return None
        counts = np.bincount(labels, minlength=classes)
        # Only classes that occur: an absent class would lower the mean weight below 1.
        return len(labels) / (np.count_nonzero(counts) * counts[labels])


@hookimpl
def register_objectives(register: Callable[[str, type[Any]], None]) -> None:
    """Register `cross-entropy`."""
    register("cross-entropy", CrossEntropy)
