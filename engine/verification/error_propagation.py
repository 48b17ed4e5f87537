"""Propagation of gradient errors through the optimiser to trained parameters, entry by entry.

Adam divides a gradient by its running magnitude, so an entry whose gradient is smaller than its rounding error may step
either way. The allowed error is therefore computed from the truth's gradients and the observed gradient errors.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


class ErrorBound(Protocol):
    """Accumulated error bound of one trained array."""

    total: Matrix | float
    """Bound on the error of each entry after the steps so far."""

    def add(self, step: int, rate: float, gradient: Matrix, error: Matrix) -> None:
        """Add a step (from 1) with its learning rate, the truth's gradient and the magnitude of the candidate's error."""
        ...


class SgdErrors:
    """SGD with momentum: a gradient error e moves its entry by at most `rate * e / (1 - momentum)`."""

    def __init__(self, momentum: float) -> None:
        self.total: Matrix | float = 0.0
        self._gain, self._worst = 1.0 / (1.0 - momentum) if momentum < 1.0 else 1.0, np.zeros(())

    def add(self, step: int, rate: float, gradient: Matrix, error: Matrix) -> None:
        """`total += rate * gain * e`, with the largest error so far."""
        del step, gradient
        self._worst = np.maximum(self._worst, error)
        self.total = self.total + abs(rate) * self._gain * self._worst


class AdamErrors:
    """The direction `d = m^ / (sqrt v^ + eps)` moves by at most `3 e / sqrt v^` for errors up to e, to first order.

    `m^` contributes an error of at most e. `sqrt v^` contributes at most e, times `|d|`, which is below 2 unless a gradient
    grows suddenly. Both directions are bounded for any error: with `m^ = sum a_j g_j` and
    `v^ = sum b_j g_j^2`, the Cauchy-Schwarz inequality gives `|d| <= sqrt(sum a_j^2 / b_j)`; at the first step that is 1.
    """

    def __init__(self, beta1: float, beta2: float, eps: float) -> None:
        self.total: Matrix | float = 0.0
        self._betas, self._eps = (beta1, beta2), eps
        self._v, self._worst = np.zeros(()), np.zeros(())

    def add(self, step: int, rate: float, gradient: Matrix, error: Matrix) -> None:
        """`total += rate * min(2 bound, 3 e / (sqrt v^ + eps))`."""
        beta1, beta2 = self._betas
        self._v = beta2 * self._v + (1 - beta2) * gradient**2
        self._worst = np.maximum(self._worst, error)
        size = np.sqrt(self._v / (1 - beta2**step)) + self._eps
        age = np.arange(step)
        a = (1 - beta1) * beta1**age / (1 - beta1**step)
        b = (1 - beta2) * beta2**age / (1 - beta2**step)
        bound = float(np.sqrt(np.sum(a**2 / b)))
        self.total = self.total + abs(rate) * np.minimum(2.0 * bound, 3.0 * self._worst / size)


class NoErrors:
    """An unknown optimiser rule: no propagated error is allowed."""

    total: Matrix | float = 0.0

    def add(self, step: int, rate: float, gradient: Matrix, error: Matrix) -> None:
        """Ignore the step."""


def error_bound_of(optimizer: Any) -> ErrorBound:
    """The error bound for an optimiser plugin's rule."""
    match optimizer.rule:
        case "adam":
            return AdamErrors(optimizer.beta1, optimizer.beta2, optimizer.eps)
        case "sgd":
            return SgdErrors(optimizer.momentum)
        case _:
            return NoErrors()
