"""Gradient oracle: products of thin factors with loss gradients and input second moments.

Randomised methods need only `G O` and `G' Q` for thin `O, Q` (Halko et al., 2011), so no matrix of a weight's size is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

Factors = Mapping[str, NDArray[np.float64]]
"""By site, a right factor `(d_in, k)` or a left factor `(d_out, k)`."""

CalibrationExamples = Literal["chosen", "failures", "all"]
"""Calibration examples: the round's selection with its weights, the currently wrong examples, or the whole training split."""


@attrs.frozen(kw_only=True, eq=False)
class Products:
    """Products with a site's gradient `G = dL/dW (d_out, d_in)`; None where no factor was given."""

    right: NDArray[np.float64] | None = None
    """`G O (d_out, k)` for a factor `O (d_in, k)`."""
    left: NDArray[np.float64] | None = None
    """`G' Q (d_in, k)` for a factor `Q (d_out, k)`."""


@attrs.frozen(kw_only=True)
class CalibrationSpec:
    """A basis's calibration examples and their cost; `boostlora check` plans memory and time from it."""

    source: CalibrationExamples
    examples: int
    """Number of examples drawn; 0: all, once each."""
    batches: int
    """Number of batches they are computed in. Where all examples are used once, it changes memory but not the result."""
    passes: int
    """Most forward and backward passes over all examples; one step of a probe computes one batch."""
    columns: int
    """Most columns k of a factor, at every site."""


class GradientOracle(Protocol):
    """Gradients of the current model on the examples of a `CalibrationSpec`, at the start of a round. Every call is one pass.

    A probe's step uses one batch, so with b batches it costs `ceil(steps / b)` passes. The loss is the objective's own; for a policy
    objective, on answers sampled from the current model.
    """

    def gradient_products(self, *, right: Factors = ..., left: Factors = ...) -> Mapping[str, Products]:
        """Products with every named site's gradient, in one pass for all of them."""
        ...

    def activation_products(self, right: Factors) -> Factors:
        """`X' diag(w) X O / sum w (d_in, k)` for a site's inputs `X (n, d_in)`, one row per token, weighted by `w` of its example."""
        ...

    def weight(self, site: str) -> NDArray[np.float64]:
        """The current weight `(d_out, d_in)` of one site."""
        ...

    def probe(
        self, rank: int, steps: int, lr: float
    ) -> Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """`B (d_out, rank)` and `A' (d_in, rank)` of temporary LoRA factors, trained for `steps` steps; the model is not changed.

        Steps cycle through the batches.
        """
        ...
