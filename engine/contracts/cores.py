"""What an adapter may train at a site: a linear core inside a frame, free factors, or the dense weight."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray


@attrs.frozen(kw_only=True, eq=False)
class LinearCore:
    """`R = sum_i v_i P_i` inside a frame: `dW = U diag(S^a) R diag(S^b) V^T`, with `v (u,)` trained.

    `projections` `(u, r, r)` are fixed; None stands for the `r^2` unit matrices, row by row, so that `v` is `R`
    itself. Sites with the same `group` share one `v`; `init` `(u,)` is where it starts.
    """

    rank: int
    group: str
    projections: NDArray[np.float64] | None
    init: NDArray[np.float64]
    exponents: tuple[float, float]
    """`(a, b)`: the powers of the singular values left and right of the core."""


@attrs.frozen(kw_only=True, eq=False)
class FreeFactors:
    """`dW = scale * B A` with `A (r, d_in)` and `B (d_out, r)` both trained; `B` starts at zero."""

    rank: int
    scale: float
    A: NDArray[np.float64]


@attrs.frozen(kw_only=True)
class DenseDelta:
    """`dW (d_out, d_in)` trained entry by entry, from zero: full fine-tuning of the site."""


Parametrisation = LinearCore | FreeFactors | DenseDelta
"""What an adapter trains at a site."""
