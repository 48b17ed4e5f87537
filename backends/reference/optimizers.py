"""Optimisers as pure functions: `rule(options, value, gradient, state, step) -> (direction, state)`.

The update is `value - learning_rate * direction`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .arrays import Matrix as Array

State = Mapping[str, Array]
Rule = Callable[[Any, Array, Array, State, int], tuple[Array, State]]


def adam(options: Any, value: Array, gradient: Array, state: State, step: int) -> tuple[Array, State]:
    """Adam (Kingma and Ba, 2015, algorithm 1) with decoupled weight decay (Loshchilov and Hutter, 2019).

    `m = b1 m + (1 - b1) g`, `v = b2 v + (1 - b2) g^2`, direction `m^ / (sqrt v^ + eps) + decay * value`, with
    `m^ = m / (1 - b1^k)` and `v^ = v / (1 - b2^k)` at step k, counting from 1.
    """
    m = options.beta1 * state.get("m", 0.0) + (1 - options.beta1) * gradient
    v = options.beta2 * state.get("v", 0.0) + (1 - options.beta2) * gradient**2
    # Both moments start at 0 and are too small in early steps; the divisors undo this.
    m_hat, v_hat = m / (1 - options.beta1**step), v / (1 - options.beta2**step)
    # The decay is added after the moments, so it is not rescaled by them ("decoupled").
    direction = m_hat / (np.sqrt(v_hat) + options.eps) + options.weight_decay * value
    return direction, {"m": m, "v": v}


def sgd(options: Any, value: Array, gradient: Array, state: State, step: int) -> tuple[Array, State]:
    """SGD with heavy-ball momentum (Polyak, 1964): `m = momentum * m + g + decay * value`, direction `m`.

    With `nesterov`, the direction is `g + decay * value + momentum * m` (Sutskever et al., 2013).
    """
    del step
    # Before the momentum, unlike Adam's: for SGD this is plain L2 regularisation, as in torch.
    gradient = gradient + options.weight_decay * value
    m = options.momentum * state.get("m", 0.0) + gradient
    return (gradient + options.momentum * m if options.nesterov else m), {"m": m}


RULES: Mapping[str, Rule] = {"adam": adam, "sgd": sgd}


def clipped(gradients: Mapping[str, Array], limit: float) -> Mapping[str, Array]:
    """Scale all gradients by `min(1, limit / ||g||)` with their global norm; `limit` 0 disables clipping."""
    if not limit:
        return gradients
    # One norm over all parameters: clipping must not change the direction of the step.
    norm = float(np.sqrt(sum(float(np.sum(g**2)) for g in gradients.values())))
    return gradients if norm <= limit else {name: g * (limit / norm) for name, g in gradients.items()}
