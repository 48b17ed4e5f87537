"""Token-wise layers: linear maps with deltas, norms, embedding lookups.

`X (n, d)` has one token per row. Every layer is a forward function and a backward function that takes the same inputs and
`G = dL/dY`, and returns `dL/dX`.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import numpy as np
from numpy.typing import NDArray

from ...engine.errors import UsageError
from .arrays import Matrix
from .deltas import Delta


@attrs.frozen(eq=False)
class Linears:
    """The linear layers of one forward and backward pass, with their deltas."""

    weights: Mapping[str, Matrix]
    deltas: Mapping[str, Delta]
    sites: frozenset[str] | None = None
    """The weights whose gradients are needed; None: all."""
    pairs: dict[str, tuple[Matrix, Matrix]] = attrs.field(factory=dict)
    """By weight `(X, G)` with `dL/dW = G^T X`; filled by `backward`."""

    def forward(self, module: str, X: Matrix) -> Matrix:
        """`Y = X W^T + X dW^T + b`; the delta and the bias are optional."""
        name = f"{module}.weight"
        Y = X @ self.weights[name].T
        if (bias := self.weights.get(f"{module}.bias")) is not None:
            Y = Y + bias
        return Y + self.deltas[name].forward(X) if name in self.deltas else Y

    def backward(self, module: str, X: Matrix, G: Matrix) -> Matrix:
        """`dL/dX = G W + G dW`; records the pair `(X, G)`."""
        name = f"{module}.weight"
        if self.sites is None or name in self.sites:
            self.pairs[name] = (X, G)
        dX = G @ self.weights[name]
        return dX + self.deltas[name].backward(G) if name in self.deltas else dX


def rms_norm(X: Matrix, gain: Matrix, eps: float) -> Matrix:
    """`y = g x / rho` with `rho = sqrt(mean(x^2) + eps)` (Zhang and Sennrich, 2019)."""
    return gain * (X / np.sqrt(np.mean(X**2, axis=1, keepdims=True) + eps))


def rms_norm_backward(X: Matrix, gain: Matrix, eps: float, G: Matrix) -> Matrix:
    """With `z = x / rho` and `h = g G`: `dL/dx = (h - z mean(h z)) / rho`, since `d rho / dx = x / (d rho)`."""
    rho = np.sqrt(np.mean(X**2, axis=1, keepdims=True) + eps)
    Z, H = X / rho, gain * G
    return (H - Z * np.mean(H * Z, axis=1, keepdims=True)) / rho


def layer_norm(X: Matrix, gain: Matrix, bias: Matrix, eps: float) -> Matrix:
    """`y = g (x - mean(x)) / sigma + b` with `sigma = sqrt(var(x) + eps)` (Ba, Kiros and Hinton, 2016)."""
    centred = X - np.mean(X, axis=1, keepdims=True)
    return gain * (centred / np.sqrt(np.mean(centred**2, axis=1, keepdims=True) + eps)) + bias


def layer_norm_backward(X: Matrix, gain: Matrix, eps: float, G: Matrix) -> Matrix:
    """With `z = (x - mean(x)) / sigma` and `h = g G`: `dL/dx = (h - mean(h) - z mean(h z)) / sigma`.

    Centring is a projection, so it also removes the mean of the gradient; the rest is as in `rms_norm_backward`.
    """
    centred = X - np.mean(X, axis=1, keepdims=True)
    sigma = np.sqrt(np.mean(centred**2, axis=1, keepdims=True) + eps)
    Z, H = centred / sigma, gain * G
    return (H - np.mean(H, axis=1, keepdims=True) - Z * np.mean(H * Z, axis=1, keepdims=True)) / sigma


def lookup(table: Matrix, rows: NDArray[np.integer], what: str) -> Matrix:
    """Embedding lookup `(n, d)`. Raises `UsageError` for an index outside the table."""
    if len(rows) and (rows.min() < 0 or rows.max() >= len(table)):
        worst = int(rows.min() if rows.min() < 0 else rows.max())
        raise UsageError(
            f"{what} {worst} is outside the model's table of {len(table)}; use this model's tokenizer and length limit"
        )
    return table[rows]
