"""Compare a round's training step by step, and its update."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from ..contracts import BoostedModel, Step, Training, TrainingRequest, Update
from ..errors import RunError
from .criterion import Criterion
from .error_propagation import error_bound_of
from .findings import Finding, distance, magnitude, worst
from .step_replay import StepReplay, updates_of

Matrix = NDArray[np.float64]
Updates = Mapping[str, Update]
Recompute = Callable[[], tuple[Matrix, Matrix | float]]
TINY = float(np.finfo(np.float64).tiny)
ROWS = 512
"""Rows of an update that are expanded at once."""


@attrs.frozen(eq=False)
class TracedTraining:
    """One model's training, with all steps."""

    training: Training
    steps: Sequence[Step]


def train(model: BoostedModel, request: TrainingRequest) -> TracedTraining:
    """Train and keep every step. Raises `RunError` for a model that does not report all steps."""
    steps = list[Step]()
    training = model.train(attrs.evolve(request, trace=steps.append))
    if len(steps) != request.steps:
        raise RunError(f"traced {len(steps)} of {request.steps} steps (TrainingRequest.trace)")
    return TracedTraining(training, steps)


@attrs.frozen(eq=False)
class Steps:
    """Result of the comparison of all steps."""

    findings: list[Finding]
    diverged: int | None
    """The step at which the candidate diverged by rounding alone, if any; later steps are not comparable."""
    explained: bool
    """Whether parameters exceed the criterion's bound only within their propagated gradient errors."""


def compare_steps(
    number: int,
    traced: tuple[TracedTraining, TracedTraining, TracedTraining],
    criterion: Criterion,
    replay: StepReplay,
) -> Steps:
    """Compare loss, gradients and values of every step, for truth, yardstick and candidate.

    A step whose loss or gradient exceeds its bound is recomputed by the truth at the candidate's own parameters. A parameter may
    be off by the criterion's bound plus its propagated gradient errors, which are themselves checked. If a recomputed step
    agrees, the candidate is right, but its training has diverged.
    """
    request = replay.request
    quantities = [_StepQuantity(number, *key, criterion, request) for key in _keys(traced[0])]
    error_bounds = {q.name: error_bound_of(request.optimizer) for q in quantities if q.quantity == "core"}
    explained = False
    for step, rate in enumerate(request.learning_rates.tolist(), start=1):
        recompute, diverged = _ReplayedStep(replay, step, traced[2].steps), False
        for q in quantities:
            t, y, c = (_of(trace.steps[step - 1], q.quantity, q.name) for trace in traced)
            if t is None or y is None:
                continue
            if c is None or c.shape != t.shape:
                q.fail(step, "nothing of this name and shape is trained")
            elif q.quantity == "core":
                explained |= q.compare(step, (t, y, c), lambda q=q, t=t: (t, error_bounds[q.name].total))
            else:
                if q.quantity == "gradient":
                    error_bounds[q.name].add(step, rate, t, np.abs(c - t))
                diverged |= q.compare(
                    step, (t, y, c), lambda q=q, recompute=recompute: recompute(q.quantity, q.name)
                )
        departed = any(q.found and q.found[-1].departed for q in quantities)
        if diverged or departed:  # later steps are no longer comparable with the truth's
            left = request.steps - step
            return Steps(
                [q.finding(left) for q in quantities if q.found], None if departed else step, explained
            )
    return Steps([q.finding(0) for q in quantities if q.found], None, explained)


class _ReplayedStep:
    """One step recomputed by the truth, on first use."""

    def __init__(self, replay: StepReplay, number: int, candidate: Sequence[Step]) -> None:
        self._replay, self._number = replay, number
        self._values = candidate[number - 2].values if number > 1 else None
        self._found: tuple[Step, Mapping[str, Matrix | float]] | None = None

    def __call__(self, quantity: str, name: str) -> tuple[Matrix, Matrix | float]:
        """The recomputed value at the candidate's parameters, and its spread under roundings."""
        if self._found is None:
            step = self._replay.step(self._number, self._values)
            self._found = step, self._replay.spread(self._number, self._values, step)
        step, spread = self._found
        if quantity == "training loss":
            return np.array([step.loss]), spread["loss"]
        return step.gradients[name], spread[name]


class _StepQuantity:
    """Compares one quantity of one array over all steps."""

    def __init__(
        self, number: int, quantity: str, name: str, criterion: Criterion, request: TrainingRequest
    ) -> None:
        self.quantity, self.name, self._criterion = quantity, name, criterion
        self._where = Finding(round=number, quantity=quantity, where=name, error=0.0, allowed=0.0)
        loss = quantity == "training loss"
        self._scale, self._yard = terms_of(request) if loss else 0.0, 0.0
        self._sums = sums_of(request) if loss else 0.0
        self.found = list[Finding]()

    def compare(self, step: int, triple: tuple[Matrix, Matrix, Matrix], recompute: Recompute) -> bool:
        """Compare one step; whether it passes only against the recomputed value, entry by entry."""
        t, y, c = triple
        self._scale, self._yard = max(self._scale, magnitude(t)), max(self._yard, distance(y, t))
        allowed = self._criterion.allowed(self.quantity, self._yard, self._scale, self._sums)
        error = distance(c, t)
        at = attrs.evolve(self._where, step=step, error=error, allowed=allowed)
        if not allowed < error < math.inf:
            self.found.append(at)
            return False
        expected, extra = recompute()
        errors, bounds = np.abs(c - expected).ravel(), np.broadcast_to(allowed + extra, t.shape).ravel()
        place = int(np.argmax(errors / np.maximum(bounds, TINY)))
        at = attrs.evolve(at, error=float(errors[place]), allowed=float(bounds[place]))
        self.found.append(at)
        return not at.departed

    def fail(self, step: int, note: str) -> None:
        """Record a step without a comparable value."""
        self.found.append(attrs.evolve(self._where, step=step, error=math.inf, note=note))

    def finding(self, undefined: int) -> Finding:
        """One finding for all steps."""
        return attrs.evolve(worst(self.found), compared=len(self.found), undefined=undefined)


def terms_of(request: TrainingRequest) -> float:
    """Magnitude of the terms that cancel in a rollout loss: `sum_t share_t |A_t|` of the largest batch; 0 without rollouts.

    Advantages of a group add up to 0, and so does the loss at a ratio of 1: its rounding is relative to its terms.
    """
    return max(
        (
            float(np.sum(r.shares * np.abs(np.repeat(batch.weights, r.tokens.targets))))
            for batch in request.fixed_batches
            if (r := batch.rollouts) is not None
        ),
        default=0.0,
    )


def sums_of(request: TrainingRequest) -> float:
    """Total weight of log-sum-exp terms in a loss: the maximum of `sum_i |w_i| / b` over batches; 0 with rollouts.

    Each sum is at least 1, so its rounding error is at least u (see `criterion.py` on a loss near 0). For rollouts see `terms_of`.
    """
    return max(
        (
            float(np.mean(np.abs(batch.weights)))
            for batch in request.fixed_batches
            if batch.rollouts is None and len(batch)
        ),
        default=0.0,
    )


def _keys(truth: TracedTraining) -> list[tuple[str, str]]:
    """Quantities and names in the order of computation within a step."""
    first = truth.steps[0] if truth.steps else None
    if first is None:
        return []
    names = list(first.gradients)
    return [("training loss", "batch"), *(("gradient", n) for n in names), *(("core", n) for n in names)]


def _of(step: Step, quantity: str, name: str) -> Matrix | None:
    if quantity == "training loss":
        return np.array([step.loss])
    return (step.gradients if quantity == "gradient" else step.values).get(name)


def compare_updates(
    where: Finding, updates: tuple[Updates, Updates], criterion: Criterion, yardstick: tuple[Updates, Updates]
) -> list[Finding]:
    """Compare `dW` of every site, expected and found; the yardstick's pair measures the float32 error."""
    expected, found = updates
    findings = list[Finding]()
    for site, update in expected.items():
        at = attrs.evolve(where, where=site)
        if site not in found or found[site].shape != update.shape:
            findings.append(attrs.evolve(at, error=math.inf, note="missing, or of another shape"))
            continue
        scale, error = _dense_distance(update, found[site])
        _, yard = _dense_distance(yardstick[0][site], yardstick[1][site])
        allowed = criterion.allowed(where.quantity, yard, scale)
        findings.append(attrs.evolve(at, error=error, allowed=allowed))
    return findings


def compare_own_updates(
    number: int,
    request: TrainingRequest,
    yardstick: TracedTraining,
    candidate: TracedTraining,
    criterion: Criterion,
) -> list[Finding]:
    """Compare the candidate's update with the one computed from its own parameters, which excludes training errors."""
    where = Finding(round=number, quantity="update", where="every site", error=math.inf, allowed=0.0)
    try:
        expected = updates_of(request, candidate.steps[-1].values)
    except (KeyError, ValueError) as error:
        return [attrs.evolve(where, note=f"no update can be computed from its parameters: {error}")]
    own = candidate.training.updates
    theirs = (updates_of(request, yardstick.steps[-1].values), yardstick.training.updates)
    return compare_updates(where, (expected, own), criterion, theirs)


def _dense_distance(one: Update, two: Update) -> tuple[float, float]:
    """`max|dW_1|` and `max|dW_1 - dW_2|`, a few rows at a time."""
    (L, M), (K, N) = one.factors(), two.factors()
    scale = error = 0.0
    for start in range(0, len(L), ROWS):
        block = L[start : start + ROWS] @ M.T
        scale = max(scale, magnitude(block))
        error = max(error, distance(K[start : start + ROWS] @ N.T, block))
    return scale, error
