"""What data says of weights: products with gradients and activations, never a matrix of a weight's size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

Factors = Mapping[str, NDArray[np.float64]]
"""By site, a matrix with as many rows as the weight has columns (to the right of it), or rows (to the left)."""

CalibrationExamples = Literal["chosen", "failures", "all"]
"""Whom to ask: the round's chosen examples in their shares, those that are wrong now, or the whole training split."""


@attrs.frozen(kw_only=True, eq=False)
class Products:
    """A site's gradient `G = dL/dW (d_out, d_in)`, as far as it was asked for."""

    right: NDArray[np.float64] | None = None
    """`G O (d_out, k)` for a factor `O (d_in, k)`."""
    left: NDArray[np.float64] | None = None
    """`G' Q (d_in, k)` for a factor `Q (d_out, k)`."""


@attrs.frozen(kw_only=True)
class CalibrationSpec:
    """Which examples a basis wants to hear, and what that will cost; `boostlora check` plans from it."""

    source: CalibrationExamples
    examples: int
    """How many are drawn; 0: every one once."""
    batches: int
    """In how many parts they are computed: memory, not the result, depends on it where every example is heard once."""
    passes: int
    """Times that they are all computed forward and back, at most; a probe's step computes one part."""
    columns: int
    """Columns k of the factors at every site, at most."""


class GradientOracle(Protocol):
    """The examples of a `CalibrationSpec` at the start of a round, the model as it is then; every answer is one pass over them.

    A probe's steps take a part each, so that with b parts it is `ceil(steps / b)` passes. The loss is the objective's own: where it
    learns from rewards, that of answers which the model has just given.
    """

    def gradient_products(self, *, right: Factors = ..., left: Factors = ...) -> Mapping[str, Products]:
        """Products with every named site's gradient, in one pass for all of them."""
        ...

    def activation_products(self, right: Factors) -> Factors:
        """`X' diag(w) X O / sum w (d_in, k)` for the rows `X (n, d_in)` that come into a site, each with its example's weight."""
        ...

    def weight(self, site: str) -> NDArray[np.float64]:
        """The current weight `(d_out, d_in)` of one site."""
        ...

    def probe(
        self, rank: int, steps: int, lr: float
    ) -> Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """`B (d_out, rank)` and `A' (d_in, rank)` of LoRA factors that were trained for some steps and belong to no model.

        Each step takes the next of the question's parts, after the last the first again.
        """
        ...
