"""Compares a round's training, step by step, and what came of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from ..contracts import BoostedModel, Step, Training, TrainingRequest, Update
from ..errors import RunError
from .criterion import Criterion
from .error_propagation import transfer_of
from .findings import Finding, distance, magnitude, worst
from .step_replay import Local, updates_of

Matrix = NDArray[np.float64]
Updates = Mapping[str, Update]
Again = Callable[[], tuple[Matrix, Matrix | float]]
TINY = float(np.finfo(np.float64).tiny)
ROWS = 512
"""Rows of an update that are multiplied out at once."""


@attrs.frozen(eq=False)
class Traced:
    """One model's training, with every step."""

    training: Training
    steps: Sequence[Step]


def train(model: BoostedModel, request: TrainingRequest) -> Traced:
    """Train, and keep every step. Raises `RunError` for a model that does not tell them all."""
    steps = list[Step]()
    training = model.train(attrs.evolve(request, trace=steps.append))
    if len(steps) != request.steps:
        raise RunError(f"traced {len(steps)} of {request.steps} steps (TrainingRequest.trace)")
    return Traced(training, steps)


@attrs.frozen(eq=False)
class Steps:
    """What the comparison of all steps came to."""

    findings: list[Finding]
    parted: int | None
    """The step at which rounding alone put the candidate elsewhere; later ones are not comparable. None: never."""
    explained: bool
    """Whether trained numbers are further off than the criterion says, as errors of their gradients explain."""


def compare_steps(
    number: int, traced: tuple[Traced, Traced, Traced], criterion: Criterion, local: Local
) -> Steps:
    """Loss, gradients and values of every step: of the truth, the yardstick, and the candidate.

    A step whose loss or gradient is off is asked again of the truth at the candidate's own numbers. A trained number may be off
    by what the criterion says, and by what the optimiser makes of the errors of its gradient, which are held to the criterion
    themselves. Where the truth had to be asked again, the candidate is right, but training goes on from another place.
    """
    request = local.request
    held = [_Held(number, *key, criterion, request) for key in _keys(traced[0])]
    transfers = {h.name: transfer_of(request.optimizer) for h in held if h.quantity == "core"}
    explained = False
    for step, rate in enumerate(request.learning_rates.tolist(), start=1):
        again, parted = _Again(local, step, traced[2].steps), False
        for h in held:
            t, y, c = (_of(trace.steps[step - 1], h.quantity, h.name) for trace in traced)
            if t is None or y is None:
                continue
            if c is None or c.shape != t.shape:
                h.fail(step, "nothing of this name and shape is trained")
            elif h.quantity == "core":
                explained |= h.compare(step, (t, y, c), lambda h=h, t=t: (t, transfers[h.name].total))
            else:
                if h.quantity == "gradient":
                    transfers[h.name].add(step, rate, t, np.abs(c - t))
                parted |= h.compare(step, (t, y, c), lambda h=h, again=again: again(h.quantity, h.name))
        departed = any(h.found and h.found[-1].departed for h in held)
        if parted or departed:  # what follows from here is no longer the truth's training
            left = request.steps - step
            return Steps([h.finding(left) for h in held if h.found], None if departed else step, explained)
    return Steps([h.finding(0) for h in held if h.found], None, explained)


class _Again:
    """The truth, asked again about one step, when first it is needed."""

    def __init__(self, local: Local, number: int, candidate: Sequence[Step]) -> None:
        self._local, self._number = local, number
        self._values = candidate[number - 2].values if number > 1 else None
        self._found: tuple[Step, Mapping[str, Matrix | float]] | None = None

    def __call__(self, quantity: str, name: str) -> tuple[Matrix, Matrix | float]:
        """What it gives where the candidate stood, and how far roundings of the weights move that."""
        if self._found is None:
            step = self._local.step(self._number, self._values)
            self._found = step, self._local.spread(self._number, self._values, step)
        step, spread = self._found
        if quantity == "training loss":
            return np.array([step.loss]), spread["loss"]
        return step.gradients[name], spread[name]


class _Held:
    """One quantity of one name, step after step."""

    def __init__(
        self, number: int, quantity: str, name: str, criterion: Criterion, request: TrainingRequest
    ) -> None:
        self.quantity, self.name, self._criterion = quantity, name, criterion
        self._where = Finding(round=number, quantity=quantity, where=name, error=0.0, allowed=0.0)
        loss = quantity == "training loss"
        self._scale, self._yard = terms_of(request) if loss else 0.0, 0.0
        self._sums = sums_of(request) if loss else 0.0
        self.found = list[Finding]()

    def compare(self, step: int, triple: tuple[Matrix, Matrix, Matrix], again: Again) -> bool:
        """Hold one step to the criterion; whether it holds only when asked `again`, entry by entry."""
        t, y, c = triple
        self._scale, self._yard = max(self._scale, magnitude(t)), max(self._yard, distance(y, t))
        allowed = self._criterion.allowed(self.quantity, self._yard, self._scale, self._sums)
        error = distance(c, t)
        at = attrs.evolve(self._where, step=step, error=error, allowed=allowed)
        if not allowed < error < math.inf:
            self.found.append(at)
            return False
        expected, extra = again()
        errors, bounds = np.abs(c - expected).ravel(), np.broadcast_to(allowed + extra, t.shape).ravel()
        place = int(np.argmax(errors / np.maximum(bounds, TINY)))
        at = attrs.evolve(at, error=float(errors[place]), allowed=float(bounds[place]))
        self.found.append(at)
        return not at.departed

    def fail(self, step: int, note: str) -> None:
        """A step that has nothing to compare."""
        self.found.append(attrs.evolve(self._where, step=step, error=math.inf, note=note))

    def finding(self, undefined: int) -> Finding:
        """All steps in one."""
        return attrs.evolve(worst(self.found), compared=len(self.found), undefined=undefined)


def terms_of(request: TrainingRequest) -> float:
    """How large the terms are that cancel in a loss of rollouts, `sum_t share_t |A_t|` of the largest batch; 0 without rollouts.

    Advantages of a group add up to 0, and so does the loss at a ratio of 1: what its rounding is relative to are its terms.
    """
    return max(
        (
            float(np.sum(r.shares * np.abs(np.repeat(batch.weights, r.tokens.targets))))
            for batch in request.known
            if (r := batch.rollouts) is not None
        ),
        default=0.0,
    )


def sums_of(request: TrainingRequest) -> float:
    """The weight of the logarithms of sums of exponentials in a loss, `sum_i |w_i| / b` of the batch with most; 0 with rollouts.

    Each of these sums is at least 1, and rounded in units of that (`criterion.py`, of a loss near 0). Of rollouts, `terms_of` has it.
    """
    return max(
        (
            float(np.mean(np.abs(batch.weights)))
            for batch in request.known
            if batch.rollouts is None and len(batch)
        ),
        default=0.0,
    )


def _keys(truth: Traced) -> list[tuple[str, str]]:
    """Quantities and names in the order of the computation of one step."""
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
    """`dW` of every site, whatever its factors: expected, and found; the yardstick's two say what float32 costs."""
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
    number: int, request: TrainingRequest, yardstick: Traced, candidate: Traced, criterion: Criterion
) -> list[Finding]:
    """The candidate's update against what its own trained numbers make: no error of training is in it."""
    where = Finding(round=number, quantity="update", where="every site", error=math.inf, allowed=0.0)
    try:
        made = updates_of(request, candidate.steps[-1].values)
    except (KeyError, ValueError) as error:
        return [attrs.evolve(where, note=f"its trained numbers make no update: {error}")]
    own = candidate.training.updates
    theirs = (updates_of(request, yardstick.steps[-1].values), yardstick.training.updates)
    return compare_updates(where, (made, own), criterion, theirs)


def _dense_distance(one: Update, two: Update) -> tuple[float, float]:
    """`max|dW_1|` and `max|dW_1 - dW_2|`, a few rows at a time."""
    (L, M), (K, N) = one.factors(), two.factors()
    scale = error = 0.0
    for start in range(0, len(L), ROWS):
        block = L[start : start + ROWS] @ M.T
        scale = max(scale, magnitude(block))
        error = max(error, distance(K[start : start + ROWS] @ N.T, block))
    return scale, error
