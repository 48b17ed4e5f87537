"""How far an error of a gradient moves a trained number, entry by entry, through the optimiser's rule.

Adam divides a gradient by its own running size, so that an entry whose gradient is smaller than its rounding error may step
either way: no arithmetic decides it. What a candidate's own errors explain is therefore worked out, from the truth's
gradients and from the errors that were seen, rather than guessed.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


class Transfer(Protocol):
    """The errors of one trained name so far."""

    total: Matrix | float
    """How far each entry may be off by now."""

    def add(self, step: int, rate: float, gradient: Matrix, error: Matrix) -> None:
        """A step (from 1) at a learning rate, with the truth's gradient and the size of the candidate's error."""
        ...


class Linear:
    """Plain descent with momentum: an error e of a gradient moves its entry by `rate * e`, `1 / (1 - momentum)` times."""

    def __init__(self, momentum: float) -> None:
        self.total: Matrix | float = 0.0
        self._gain, self._worst = 1.0 / (1.0 - momentum) if momentum < 1.0 else 1.0, np.zeros(())

    def add(self, step: int, rate: float, gradient: Matrix, error: Matrix) -> None:
        """`total += rate * gain * e`, with the largest error so far."""
        del step, gradient
        self._worst = np.maximum(self._worst, error)
        self.total = self.total + abs(rate) * self._gain * self._worst


class Adam:
    """The direction `d = m^ / (sqrt v^ + eps)` moves by at most `3 e / sqrt v^` for errors up to e, to first order.

    One part is the error of `m^`, at most e; the other that of `sqrt v^`, at most e, times `|d|`, which stays below 2 but
    where a gradient suddenly grows. However large the error, both directions are bounded: with `m^ = sum a_j g_j` and
    `v^ = sum b_j g_j^2`, Cauchy and Schwarz give `|d| <= sqrt(sum a_j^2 / b_j)`; at the first step that is 1.
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


class Unknown:
    """A rule that nothing is known of explains nothing."""

    total: Matrix | float = 0.0

    def add(self, step: int, rate: float, gradient: Matrix, error: Matrix) -> None:
        """Nothing."""


def transfer_of(optimizer: Any) -> Transfer:
    """The optimiser plugin's rule."""
    match optimizer.rule:
        case "adam":
            return Adam(optimizer.beta1, optimizer.beta2, optimizer.eps)
        case "sgd":
            return Linear(optimizer.momentum)
        case _:
            return Unknown()
