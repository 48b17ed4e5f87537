"""The first step of a round, as gradient boosting takes it: along the negative gradient, as far as a line search says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import attrs
import numpy as np

from ..contracts import (
    Batch,
    BoostedModel,
    Examples,
    LinearCore,
    Parametrisation,
    TrainingRequest,
    Update,
)
from ..spec.boosting_table import FirstStep

BATCHES = 4
"""Of the round's own batches, how many the search hears."""
SUFFICIENT = 1e-4
"""Armijo's constant: the share of the fall that the slope promises which a step must keep (Nocedal and Wright, 2006, 3.1)."""
MOST = 30
"""Times that the length is halved or doubled, or that Brent's method looks at the loss."""

Loss = Callable[[float], float]


@attrs.frozen
class PlainDescent:
    """One step of rate 1 by the rule `sgd`: minus the gradient."""

    rule: ClassVar[str] = "sgd"
    clip: float = 0.0
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0


@attrs.frozen(kw_only=True, eq=False)
class FirstStepTaken:
    """The request with cores that start where the search ended."""

    request: TrainingRequest
    length: float
    """`s` of `v = -s dL/dv`; 0 where no length was better than none."""


def take_first_step(model: BoostedModel, request: TrainingRequest, how: FirstStep) -> FirstStepTaken:
    """Search along minus the gradient of the round's first batches, for cores that start at zero."""
    batch = joined(request.known[:BATCHES])
    probe = attrs.evolve(
        request, batches=[batch], learning_rates=np.ones(1), optimizer=PlainDescent(), on_step=_unheard
    )
    training = model.train(probe)
    slope = sum(float(np.sum(value**2)) for value in training.values.values())
    loss = loss_along(model, request.examples, batch, training.updates)
    if slope == 0.0:
        return FirstStepTaken(request=request, length=0.0)
    start = float(training.losses[0])
    length = armijo(loss, start, slope) if how == "armijo" else exact(loss, start, slope)
    started = {site: _begun(p, training.values, length) for site, p in request.parametrisations.items()}
    return FirstStepTaken(request=attrs.evolve(request, parametrisations=started), length=length)


def joined(batches: Sequence[Batch]) -> Batch:
    """All batches as one: every example once, weighted by how often it came."""
    indices = np.concatenate([batch.indices for batch in batches])
    weights = np.concatenate([batch.weights for batch in batches])
    found, owner = np.unique(indices, return_inverse=True)
    summed = np.bincount(owner, weights=weights, minlength=len(found))
    total = summed * (len(found) / max(len(indices), 1))
    return Batch(indices=found, weights=total.astype(np.float64))


def loss_along(model: BoostedModel, examples: Examples, batch: Batch, updates: Mapping[str, Update]) -> Loss:
    """The batch's loss with `s` times an update added."""
    rows = batch.rows(examples)

    def loss(s: float) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            return float(np.mean(batch.weights * model.predict(rows, updates, s).loss))

    return loss


def armijo(loss: Loss, start: float, slope: float) -> float:
    """Halve from 1 until `L(s) <= L(0) - c s ||g||^2`; where 1 will do, double as long as the loss goes on falling so."""

    def falls(s: float, found: float) -> bool:
        # Below rounding the right side is the start itself, and a loss that stays as it was has not fallen.
        return bool(found < start and found <= start - SUFFICIENT * s * slope)

    s, found = 1.0, loss(1.0)
    if falls(s, found):
        for _ in range(MOST):
            further = loss(2 * s)
            if not (falls(2 * s, further) and further < found):
                break
            s, found = 2 * s, further
        return s
    for _ in range(MOST):
        s /= 2
        if falls(s, loss(s)):
            return s
    return 0.0


def exact(loss: Loss, start: float, slope: float) -> float:
    """The minimum that Brent's method finds between 0 and twice the length that Armijo's rule takes, to 1 %; or that length, where it is better."""
    from scipy.optimize import minimize_scalar  # noqa: PLC0415 - slow to import

    length = armijo(loss, start, slope)
    if length == 0.0:
        return 0.0
    options = {"xatol": 0.02 * length, "maxiter": MOST}
    found = minimize_scalar(loss, bounds=(0.0, 2 * length), method="bounded", options=options)
    return float(found.x) if found.fun < loss(length) else length


def _begun(p: Parametrisation, values: Mapping[str, np.ndarray], length: float) -> Parametrisation:
    return attrs.evolve(p, init=length * values[p.group]) if isinstance(p, LinearCore) else p


def _unheard(step: int, loss: float) -> None:
    """The search's own step is nobody's."""
