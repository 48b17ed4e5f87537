"""Layers that act on every token by itself: linear maps with their deltas, norms, look-ups.

A matrix `X (n, d)` holds a token a row. Every layer is a forward function and a backward one, which takes the same inputs
and `G = dL/dY`, and returns `dL/dX`.
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
    """The linear layers of one pass over the model, what adapters add to them, and what the backward pass saw of them."""

    weights: Mapping[str, Matrix]
    deltas: Mapping[str, Delta]
    wanted: frozenset[str] | None = None
    """The weights whose gradients are asked for; None: all."""
    pairs: dict[str, tuple[Matrix, Matrix]] = attrs.field(factory=dict)
    """By weight `(X, G)`, from which `dL/dW = G^T X`; filled by `backward`."""

    def forward(self, module: str, X: Matrix) -> Matrix:
        """`Y = X W^T + X dW^T + b`, where the layer has a bias."""
        name = f"{module}.weight"
        Y = X @ self.weights[name].T
        if (bias := self.weights.get(f"{module}.bias")) is not None:
            Y = Y + bias
        return Y + self.deltas[name].forward(X) if name in self.deltas else Y

    def backward(self, module: str, X: Matrix, G: Matrix) -> Matrix:
        """`dL/dX = G W + G dW`; remembers the pair `(X, G)`."""
        name = f"{module}.weight"
        if self.wanted is None or name in self.wanted:
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

    Centring takes the mean out of the gradient as it did out of x; the rest is as in `rms_norm_backward`.
    """
    centred = X - np.mean(X, axis=1, keepdims=True)
    sigma = np.sqrt(np.mean(centred**2, axis=1, keepdims=True) + eps)
    Z, H = centred / sigma, gain * G
    return (H - np.mean(H, axis=1, keepdims=True) - Z * np.mean(H * Z, axis=1, keepdims=True)) / sigma


def look_up(table: Matrix, rows: NDArray[np.integer], what: str) -> Matrix:
    """The table's rows `(n, d)`. Raises `UsageError` for a row it does not have."""
    if len(rows) and (rows.min() < 0 or rows.max() >= len(table)):
        worst = int(rows.min() if rows.min() < 0 else rows.max())
        raise UsageError(
            f"{what} {worst} is outside the model's table of {len(table)}; use the tokenizer and the length limit of this model"
        )
    return table[rows]
