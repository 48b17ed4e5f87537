"""Weighted softmax cross-entropy: the negative log-likelihood and its gradient."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def log_softmax(logits: Matrix) -> Matrix:
    """`z - log sum_j exp z_j` row by row, shifted by the row's maximum so that nothing overflows."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def negative_log_likelihood(logits: Matrix, labels: NDArray[np.int64]) -> Matrix:
    """`-log p(y_i | x_i)` `(n,)` in nats, for `logits (n, classes)`."""
    return -log_softmax(logits)[np.arange(len(labels)), labels]


def weighted_loss(logits: Matrix, labels: NDArray[np.int64], weights: Matrix) -> tuple[float, Matrix]:
    """`L = -sum_i w_i log p(y_i | x_i) / n` and `dL/dz_i = w_i (p_i - onehot(y_i)) / n`."""
    n = len(labels)
    log_p = log_softmax(logits)
    loss = -float(np.sum(weights * log_p[np.arange(n), labels]) / n)
    gradient = np.exp(log_p)
    gradient[np.arange(n), labels] -= 1.0
    return loss, gradient * (weights / n)[:, None]
