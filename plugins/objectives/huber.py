"""Regression that outliers influence less."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from ...engine.contracts import Batch, Selection
from ...engine.foundation.options import option, positive
from ...engine.hookspecs import hookimpl
from ...engine.sdk.stratified_batches import stratified_batches


@attrs.frozen(kw_only=True)
class Huber:
    """`L = 1/b sum_i l(z_i - y_i)` with `l(r) = r^2 / 2` for `|r| <= delta` and `delta (|r| - delta / 2)` beyond (Huber, 1964).

    `y` is the standardised target, so `delta` counts in its standard deviations. Examples are sampled in proportion to their weights.
    """

    delta: float = option(
        1.0, "residual from which the loss grows linearly, in standard deviations", positive
    )

    def batches(
        self, selection: Selection, steps: int, batch_size: int, rng: np.random.Generator
    ) -> Sequence[Batch]:
        """`steps` batches with loss weights 1, each a stratified draw."""
        return stratified_batches(selection, steps, batch_size, rng, delta=self.delta)


@hookimpl
def register_objectives(register: Callable[[str, type[Any]], None]) -> None:
    """Register `huber`."""
    register("huber", Huber)
