"""One round of training; the model's weights do not change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from ...engine.contracts import Batch, Step, Training, TrainingRequest, Update
from ...engine.errors import NonFiniteError
from .arrays import Matrix
from .optimizers import RULES, State, clipped
from .policy import ReferencePolicy
from .trainables import Trainable, Values

LossAndGradients = Callable[[Values, Batch], tuple[float, dict[str, Matrix]]]


@attrs.frozen(kw_only=True, eq=False)
class RoundState:
    """A round in training: the parametrisations, their current values, and the loss function."""

    trainables: Mapping[str, Trainable]
    values: dict[str, Matrix]
    """Current parameter values; replaced in every step."""
    compute: LossAndGradients

    def updates(self) -> dict[str, Update]:
        """The current update of every trained site."""
        return {site: trainable.update(self.values) for site, trainable in self.trainables.items()}

    def update(self, site: str) -> Update | None:
        """The current update of one site; None if it is not trained."""
        return self.trainables[site].update(self.values) if site in self.trainables else None


def train(state: RoundState, request: TrainingRequest, policy: ReferencePolicy) -> Training:
    """Train a round's parameters. Raises `NonFiniteError` naming the step whose loss or gradient is NaN or Inf."""
    losses = _run_steps(state, request, policy)
    updates = state.updates()
    for site, update in updates.items():
        if not update.is_finite():
            raise NonFiniteError(f"{site}: the trained update contains NaN or Inf")
    return Training(updates=updates, values=_float64_copies(state.values), losses=losses)


def _run_steps(state: RoundState, request: TrainingRequest, policy: ReferencePolicy) -> NDArray[np.float64]:
    """Run all optimiser steps; returns the loss before each `(steps,)`."""
    options: Any = request.optimizer
    rule, states, trained = RULES[options.rule], dict[str, State](), 0
    losses, values = np.zeros(request.steps), state.values
    steps = zip(request.iter_batches(policy), request.learning_rates.tolist(), strict=True)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for step, (batch, rate) in enumerate(steps, start=1):
            loss, gradients = 0.0, {name: np.zeros_like(value) for name, value in values.items()}
            # A step without examples changes neither moments nor Adam's step count.
            if len(batch):
                trained += 1
                loss, gradients = state.compute(values, batch)
                _require_finite(loss, gradients, step)
                for name, gradient in clipped(gradients, options.clip).items():
                    before = states.get(name, {})
                    direction, states[name] = rule(options, values[name], gradient, before, trained)
                    values[name] = values[name] - rate * direction
            losses[step - 1] = loss
            request.on_step(step, loss)
            if request.trace is not None:
                copies = _float64_copies(gradients), _float64_copies(values)
                request.trace(Step(number=step, loss=loss, gradients=copies[0], values=copies[1]))
    return losses


def _float64_copies(arrays: Mapping[str, Matrix]) -> dict[str, NDArray[np.float64]]:
    """Copies in float64, for callers."""
    return {name: array.astype(np.float64) for name, array in arrays.items()}


def _require_finite(loss: float, gradients: Mapping[str, Matrix], step: int) -> None:
    if not np.isfinite(loss):
        raise NonFiniteError(f"step {step}: the loss is {loss}")
    for name, gradient in gradients.items():
        if not np.isfinite(gradient).all():
            raise NonFiniteError(f'step {step}: the gradient of "{name}" contains NaN or Inf')
