"""Targets of the loss, the negative log-likelihood, the losses of regression, and the clipped policy-gradient surrogate."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...engine.contracts import Examples, Rollouts, Tokens, Values
from ...engine.errors import NonFiniteError


@attrs.frozen(kw_only=True, eq=False)
class Targets:
    """Labels of the rows of logits, in example order.

    Classification has one row per example, completions one row per target token. `labels` `(rows,)` int64; `counts` `(n,)`
    int64: rows per example.
    """

    labels: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, examples: Examples, *, predicts_tokens: bool) -> Targets:
        """From class labels, or from completion tokens; a completion may be empty."""
        if not predicts_tokens:
            return cls(labels=examples.labels, counts=np.ones(len(examples), dtype=np.int64))
        inputs: Tokens = examples.inputs
        completions = [np.empty(0, dtype=np.int64), *(inputs.completion(i) for i in range(len(inputs)))]
        return cls(labels=np.concatenate(completions).astype(np.int64), counts=inputs.targets)

    def weights(self, weights: NDArray[np.float64], batch: int) -> NDArray[np.float64]:
        """Row weights `(rows,)` such that the loss is their weighted sum: `w_i / (n_i b)`, with n_i rows and a batch of b."""
        return np.repeat(weights / (np.maximum(self.counts, 1) * batch), self.counts)

    def per_example(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum of a row-wise quantity over each example's rows `(n,)`."""
        owners = np.repeat(np.arange(len(self.counts)), self.counts)
        return np.bincount(owners, weights=rows, minlength=len(self.counts)).astype(np.float64)


class NegativeLogLikelihood(torch.autograd.Function):
    """`-log p(y_i) = log T_i + (m_i - z_iy)`, with `m_i = max_j z_ij` and `T_i = sum_j exp(z_ij - m_i)`; `z` is `logits / temperature`.

    The gradient is `g_i (exp(z_i - m_i) / T_i - onehot(y_i))`. `m` is never added to `log T`: that sum is rounded to one ulp of the
    largest logit, and a loss near 0, the difference of the two, would cancel completely. The same holds for `p_y - 1`.

    torch's `cross_entropy` sums the exponentials sequentially. Over a vocabulary of 49,152 this was measured to bias float32
    losses by 1e-5 nats, ten times the error of pairwise summation. Only the logits are saved for the backward pass, in their own
    dtype.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, dtype: torch.dtype, temperature: float) -> Tensor:
        """Map `logits (rows, classes)` and `labels (rows,)` to losses `(rows,)` in `dtype`."""
        z = logits.to(dtype)
        z = z if temperature == 1.0 else z / temperature
        # Subtracted before `exp`, which would overflow in float32 from a logit of 89 on.
        top = z.amax(dim=1, keepdim=True)
        shifted = z - top
        # Before `exp_` overwrites `shifted`.
        own = shifted.gather(1, labels[:, None])
        total = shifted.exp_().sum(dim=1, keepdim=True)
        ctx.save_for_backward(logits, labels, top, total)
        ctx.temperature = temperature
        return (total.log() - own)[:, 0]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """Gradient with respect to the logits."""
        logits, labels, top, total = ctx.saved_tensors
        z, temperature = logits.to(top.dtype), ctx.temperature
        # `dz/dlogits = 1 / temperature`.
        scale = gradients[0] if temperature == 1.0 else gradients[0] / temperature
        d_z = ((z if temperature == 1.0 else z / temperature) - top).exp_().mul_(scale[:, None] / total)
        d_z[torch.arange(len(labels), device=labels.device), labels] -= scale
        # Back to the logits' dtype: autograd requires the gradient to match its input.
        return d_z.to(logits.dtype), None, None, None


def negative_log_likelihood(
    logits: Tensor, labels: NDArray[np.int64], dtype: torch.dtype, temperature: float = 1.0
) -> Tensor:
    """`-log p(y_i)` `(rows,)` in nats, with `p = softmax(logits / temperature)` computed in `dtype`."""
    targets = torch.from_numpy(labels).to(logits.device)
    return NegativeLogLikelihood.apply(logits, targets, dtype, temperature)  # type: ignore[return-value]


def residual_loss(outputs: Tensor, values: Values, dtype: torch.dtype, delta: float | None = None) -> Tensor:
    """`l(z_i - y_i)` `(rows,)` of `outputs (rows, 1)`: squared error, or the Huber loss with threshold `delta`; see `Batch`."""
    # Standardised, so that losses and learning rates do not depend on the target's unit.
    y = torch.from_numpy(values.standardised).to(outputs.device, dtype)
    z = outputs.to(dtype)[:, 0]
    if delta is None:
        return (z - y).square()
    return torch.nn.functional.huber_loss(z, y, reduction="none", delta=delta)


def surrogate(log_p: Tensor, advantages: NDArray[np.float64], rollouts: Rollouts) -> Tensor:
    """`sum_t share_t [beta k_t - min(rho_t A_t, clip(rho_t) A_t)]` for `log_p (targets,)`; see `Rollouts`.

    The clipped objective of PPO (Schulman et al., 2017) with the KL estimator `k = q - log q - 1` of GRPO (Shao et al., 2024).
    """

    def tensor(values: NDArray[np.float64]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(log_p)

    A = tensor(np.repeat(advantages, rollouts.tokens.targets))
    low, high = rollouts.clip
    # On policy `rho = 1`, but its gradient is that of `log p`.
    ratio = (log_p - (log_p.detach() if rollouts.old is None else tensor(rollouts.old))).exp()
    # On a tie `minimum` gives each term half of the gradient; within the clip range `clamp` passes its half on.
    loss = -torch.minimum(ratio * A, ratio.clamp(1.0 - low, 1.0 + high) * A)
    if rollouts.beta and rollouts.start is not None:
        log_q = tensor(rollouts.start) - log_p
        loss = loss + rollouts.beta * (log_q.exp() - log_q - 1.0)
    return torch.dot(loss, tensor(rollouts.shares))


def require_finite(logits: Tensor) -> Tensor:
    """Return the logits. Raises `NonFiniteError` for NaN or Inf."""
    if not bool(torch.isfinite(logits).all()):
        raise NonFiniteError("the model's logits contain NaN or Inf")
    return logits
