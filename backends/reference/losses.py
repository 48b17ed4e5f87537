"""Weighted cross-entropy, the losses of regression and the clipped policy-gradient surrogate, with their gradients."""

from __future__ import annotations

import numpy as np

from ...engine.contracts import Rollouts
from .arrays import Index, Matrix


def log_softmax(logits: Matrix) -> Matrix:
    """`z - log sum_j exp z_j` by row; the row maximum is subtracted to avoid overflow."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def negative_log_likelihood(logits: Matrix, targets: Index) -> Matrix:
    """`-log p(target of row i)` `(rows,)` in nats, for `logits (rows, classes)`."""
    return -log_softmax(logits)[np.arange(len(targets)), targets]


def weighted_loss(logits: Matrix, targets: Index, weights: Matrix, examples: int) -> tuple[float, Matrix]:
    """`L = -sum_i w_i log p(target of row i) / b` and `dL/dz_i = w_i (p_i - onehot(target)) / b`, for b `examples`.

    A classified example is one row with its weight; a completion of k tokens is k rows with `1 / k` of its weight each.
    """
    rows, weights = np.arange(len(targets)), weights.astype(logits.dtype)
    log_p = log_softmax(logits)
    # Not divided by the sum of weights: an example's share must not depend on the others in its batch.
    loss = -float(np.sum(weights * log_p[rows, targets]) / examples)
    gradient = np.exp(log_p)
    gradient[rows, targets] -= 1.0
    return loss, gradient * (weights / examples)[:, None]


def weighted_residual_loss(
    outputs: Matrix, y: Matrix, weights: Matrix, delta: float | None
) -> tuple[float, Matrix]:
    """`L = sum_i w_i l(r_i) / b` of residuals `r = z - y`, and `dL/dz_i = w_i l'(r_i) / b`, for `outputs z (b, 1)`.

    Squared error: `l = r^2`, `l' = 2 r`. Huber loss: `l = r^2 / 2` within `delta` and `delta (|r| - delta / 2)` beyond, so `l'` is r
    clipped to `[-delta, delta]`.
    """
    residuals = outputs[:, 0] - y.astype(outputs.dtype)
    shares = weights.astype(outputs.dtype) / len(y)
    slope = 2.0 * residuals if delta is None else np.clip(residuals, -delta, delta)
    return float(np.sum(shares * residual_losses(residuals, delta))), (shares * slope)[:, None]


def residual_losses(residuals: Matrix, delta: float | None = None) -> Matrix:
    """`l(r)` of every residual `(n,)`."""
    if delta is None:
        return residuals**2
    far = np.abs(residuals)
    return np.where(far <= delta, residuals**2 / 2.0, delta * (far - delta / 2.0))


def surrogate_loss(
    logits: Matrix, targets: Index, advantages: Matrix, rollouts: Rollouts
) -> tuple[float, Matrix]:
    """The loss of `Rollouts` and its gradient with respect to the logits; `logits` and `advantages` have one row per token.

    With `l = log p(target)` of `softmax(z / T)`, `rho = exp(l - l_old)` and `u = l_start - l`, a token contributes
    `s [beta (exp(u) - u - 1) - min(rho A, clip(rho) A)]`. Its derivative in l is `s [beta (1 - exp(u)) - rho A m]`, where m is 1
    if the unclipped term is the smaller one, else 0 (the clipped ratio is constant). `dl/dz = (onehot(target) - p) / T`.
    PPO's clipped objective (Schulman et al., 2017) with GRPO's KL estimator (Shao et al., 2024).
    """
    rows, A, s = (
        np.arange(len(targets)),
        advantages.astype(logits.dtype),
        rollouts.shares.astype(logits.dtype),
    )
    log_p = log_softmax(logits / logits.dtype.type(rollouts.temperature))
    chosen = log_p[rows, targets]
    # On policy `rho = 1`, but `d rho / dl = rho` all the same.
    old = chosen if rollouts.old is None else rollouts.old.astype(logits.dtype)
    low, high = rollouts.clip
    ratio = np.exp(chosen - old)
    # The minimum is pessimistic: it removes the incentive to move the ratio beyond the clip range.
    plain, clipped = ratio * A, np.clip(ratio, 1.0 - low, 1.0 + high) * A
    # Within the clip range both terms are equal: `<=` keeps the gradient there.
    loss, slope = -np.minimum(plain, clipped), -np.where(plain <= clipped, ratio * A, 0.0)
    if rollouts.beta and rollouts.start is not None:
        u = rollouts.start.astype(logits.dtype) - chosen
        loss = loss + rollouts.beta * (np.exp(u) - u - 1.0)
        # 0 at `u = 0`: the divergence has no gradient at the starting model.
        slope = slope + rollouts.beta * (1.0 - np.exp(u))
    gradient = -np.exp(log_p)
    gradient[rows, targets] += 1.0
    return float(np.sum(s * loss)), gradient * (s * slope / rollouts.temperature)[:, None].astype(
        logits.dtype
    )
