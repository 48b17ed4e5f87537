"""Weighted softmax cross-entropy: the negative log-likelihood and its gradient."""

from __future__ import annotations

import numpy as np

from .arrays import Index, Matrix


def log_softmax(logits: Matrix) -> Matrix:
    """`z - log sum_j exp z_j` row by row, shifted by the row's maximum so that nothing overflows."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def negative_log_likelihood(logits: Matrix, targets: Index) -> Matrix:
    """`-log p(target of row i)` `(rows,)` in nats, for `logits (rows, classes)`."""
    return -log_softmax(logits)[np.arange(len(targets)), targets]


def weighted_loss(logits: Matrix, targets: Index, weights: Matrix, examples: int) -> tuple[float, Matrix]:
    """`L = -sum_i w_i log p(target of row i) / b` and `dL/dz_i = w_i (p_i - onehot(target)) / b`, for b `examples`.

    An example with a class is one row of its own weight; one with a completion of k tokens is k rows, each with the k-th
    part of its weight.
    """
    rows, weights = np.arange(len(targets)), weights.astype(logits.dtype)
    log_p = log_softmax(logits)
    loss = -float(np.sum(weights * log_p[rows, targets]) / examples)
    gradient = np.exp(log_p)
    gradient[rows, targets] -= 1.0
    return loss, gradient * (weights / examples)[:, None]
