"""Regression by least squares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from ...engine.contracts import Batch, Selection
from ...engine.hookspecs import hookimpl
from ...engine.sdk.stratified_batches import stratified_batches


@attrs.frozen(kw_only=True)
class MeanSquaredError:
    """`L = 1/b sum_i (z_i - y_i)^2` over batches that sample examples in proportion to their weights; `y` is the standardised target."""

    @property
    def delta(self) -> None:
        """None: no threshold."""
        return

    def batches(
        self, selection: Selection, steps: int, batch_size: int, rng: np.random.Generator
    ) -> Sequence[Batch]:
        """`steps` batches with loss weights 1, each a stratified draw."""
        return stratified_batches(selection, steps, batch_size, rng)


@hookimpl
def register_objectives(register: Callable[[str, type[Any]], None]) -> None:
    """Register `mse`."""
    register("mse", MeanSquaredError)
