"""torch's optimisers, configured to follow the equations of the optimiser plugins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

RULES: Mapping[str, Callable[[Sequence[Tensor], Any], torch.optim.Optimizer]] = {
    # AdamW's decay is decoupled, as in the plugin's equation: `x (1 - rate decay) - rate m^ / (sqrt v^ + eps)`.
    "adam": lambda values, o: torch.optim.AdamW(
        values, lr=1.0, betas=(o.beta1, o.beta2), eps=o.eps, weight_decay=o.weight_decay
    ),
    "sgd": lambda values, o: torch.optim.SGD(
        values,
        lr=1.0,
        momentum=o.momentum,
        weight_decay=o.weight_decay,
        nesterov=o.nesterov
        and o.momentum > 0.0,  # torch rejects Nesterov without momentum; it is then plain SGD
    ),
}
"""`RULES[name](values, options)`; the learning rate is set before every step."""


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def clip(values: Sequence[Tensor], limit: float) -> None:
    """Scale all gradients by `min(1, limit / ||g||)` with their global norm; `limit` 0 disables clipping."""
    if not limit:
        return
    gradients = [v.grad for v in values if v.grad is not None]
    norm = float(torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients])))
    if norm > limit:
        for gradient in gradients:
            gradient.mul_(limit / norm)
