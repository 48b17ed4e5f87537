"""The trainable update of a linear layer: its forward term and its manually derived gradients.

A layer computes `Y = X W^T + X dW^T + b` for `X (n, d_in)`. With `G = dL/dY (n, d_out)`, the dense gradient would be `G^T X`;
each delta contracts it to its own parameters without forming it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import attrs

from .arrays import Matrix


class Delta(Protocol):
    """A site's `dW` at the current parameter values."""

    def forward(self, X: Matrix) -> Matrix:
        """`X dW^T (n, d_out)`."""
        ...

    def backward(self, G: Matrix) -> Matrix:
        """The delta's term of `dL/dX`: `G dW (n, d_in)`."""
        ...

    def gradients(self, X: Matrix, G: Matrix) -> Mapping[str, Matrix]:
        """Gradients of the delta's parameters, by name."""
        ...


@attrs.frozen(eq=False)
class CoreDelta:
    """`dW = L R M^T`, with `L (d_out, r)` and `M (d_in, r)` fixed and the core `R (r, r)` trained."""

    left: Matrix
    core: Matrix
    right: Matrix

    def forward(self, X: Matrix) -> Matrix:
        """`((X M) R^T) L^T`."""
        # From left to right: every intermediate has r columns, so the cost is `O(n r (d_in + d_out))`.
        return ((X @ self.right) @ self.core.T) @ self.left.T

    def backward(self, G: Matrix) -> Matrix:
        """`((G L) R) M^T`."""
        return ((G @ self.left) @ self.core) @ self.right.T

    def gradients(self, X: Matrix, G: Matrix) -> Mapping[str, Matrix]:
        """`dL/dR = L^T (G^T X) M = (G L)^T (X M)`."""
        # Projected to r columns before the sum over tokens, so no `(d_out, d_in)` gradient exists.
        return {"core": (G @ self.left).T @ (X @ self.right)}


@attrs.frozen(eq=False)
class FactorDelta:
    """`dW = s B A`, with `A (r, d_in)` and `B (d_out, r)` trained (LoRA; Hu et al., 2021)."""

    A: Matrix
    B: Matrix
    scale: float

    def forward(self, X: Matrix) -> Matrix:
        """`s (X A^T) B^T`."""
        return self.scale * (X @ self.A.T) @ self.B.T

    def backward(self, G: Matrix) -> Matrix:
        """`s (G B) A`."""
        return self.scale * (G @ self.B) @ self.A

    def gradients(self, X: Matrix, G: Matrix) -> Mapping[str, Matrix]:
        """`dL/dA = s (G B)^T X` and `dL/dB = s G^T (X A^T)`."""
        return {"A": self.scale * (G @ self.B).T @ X, "B": self.scale * G.T @ (X @ self.A.T)}


@attrs.frozen(eq=False)
class FullDelta:
    """A dense `dW (d_out, d_in)`."""

    delta: Matrix

    def forward(self, X: Matrix) -> Matrix:
        """`X dW^T`."""
        return X @ self.delta.T

    def backward(self, G: Matrix) -> Matrix:
        """`G dW`."""
        return G @ self.delta

    def gradients(self, X: Matrix, G: Matrix) -> Mapping[str, Matrix]:
        """`dL/d(dW) = G^T X`."""
        return {"delta": G.T @ X}
