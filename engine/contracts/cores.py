"""Parametrisations of a site's update: a linear core in a frame (LoRA-XS, TinyLoRA), free factors (LoRA), or a dense delta."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray


@attrs.frozen(kw_only=True, eq=False)
class LinearCore:
    """`dW = U diag(S^a) R diag(S^b) V^T` with `R = sum_i v_i P_i (r, r)`; only `v (u,)` is trained.

    `projections` `(u, r, r)` are the fixed `P_i`; None stands for the `r^2` unit matrices, row by row, so that `v` is `R`
    flattened. Sites with the same `group` are tied: they share one `v`. `init` `(u,)` is the initial `v`.
    """

    rank: int
    group: str
    projections: NDArray[np.float64] | None
    init: NDArray[np.float64]
    exponents: tuple[float, float]
    """`(a, b)`: powers of the singular values left and right of the core."""


@attrs.frozen(kw_only=True, eq=False)
class FreeFactors:
    """`dW = scale * B A` with `A (r, d_in)` and `B (d_out, r)` both trained (LoRA, Hu et al., 2022). `A` starts at the given value, `B` at zero."""

    rank: int
    scale: float
    A: NDArray[np.float64]


@attrs.frozen(kw_only=True)
class DenseDelta:
    """`dW (d_out, d_in)` trained entry by entry, from zero: full fine-tuning of the site."""


Parametrisation = LinearCore | FreeFactors | DenseDelta
"""What an adapter trains at a site."""
