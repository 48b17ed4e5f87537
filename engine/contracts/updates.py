"""Updates: what a round adds to a site's weight, in factored or dense form."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from .frames import Frame


@attrs.frozen(kw_only=True, eq=False)
class FactoredUpdate:
    """`dW = U diag(S^a) R diag(S^b) V^T` of rank at most r, with `core` `R (r, r)` and `exponents` `(a, b)`.

    LoRA's free factors have the same form with `U = B`, `V = A^T`, `S = 1` and `R = scale * I`; then the columns of
    `U` and `V` are not orthonormal and `orthonormal` is False.
    """

    frame: Frame
    core: NDArray[np.float64]
    exponents: tuple[float, float] = (0.0, 0.0)
    orthonormal: bool = True

    @property
    def shape(self) -> tuple[int, int]:
        """`(d_out, d_in)`."""
        return self.frame.U.shape[0], self.frame.V.shape[0]

    def factors(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """`L (d_out, r)` and `M (d_in, r)` with `dW = L M^T`."""
        a, b = self.exponents
        left = (self.frame.U * self.frame.S**a) @ self.core
        return left, self.frame.V * self.frame.S**b

    def is_finite(self) -> bool:
        """Whether no entry is NaN or Inf."""
        return all(bool(np.isfinite(x).all()) for x in (self.frame.U, self.frame.S, self.frame.V, self.core))


@attrs.frozen(kw_only=True, eq=False)
class DenseUpdate:
    """`dW (d_out, d_in)` itself, from an adapter that trains every entry."""

    delta: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, int]:
        """`(d_out, d_in)`."""
        return self.delta.shape[0], self.delta.shape[1]

    def factors(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """`L` and `M` with `dW = L M^T`, one of them the identity of the smaller dimension."""
        d_out, d_in = self.shape
        return (np.eye(d_out), self.delta.T) if d_out <= d_in else (self.delta, np.eye(d_in))

    def is_finite(self) -> bool:
        """Whether no entry is NaN or Inf."""
        return bool(np.isfinite(self.delta).all())


Update = FactoredUpdate | DenseUpdate
"""What a round adds to a site."""
