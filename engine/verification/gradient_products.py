"""What is heard of the data at the start of a round: every model is asked the truth's questions, and answers are compared.

Frames that hang on gradients cannot be compared vector by vector: where singular values of a gradient are near each other, roundings turn
its singular vectors freely, and a range finder's second question hangs on the answer to its first. So the truth alone makes frames. What it
asks of its model meanwhile is remembered, and asked of the others in the same words: the same factors, examples and batches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from ..boosting.round_plan import plan_round
from ..boosting.round_setup import frames_for
from ..contracts import (
    Batch,
    BoostedModel,
    DenseUpdate,
    Examples,
    Factors,
    Frame,
    Products,
    Selection,
    Training,
    TrainingRequest,
    Update,
)
from ..spec import Spec
from .findings import Finding, distance, magnitude, worst
from .session import Session, at
from .step_replay import DRAWS, ROUNDINGS

Matrix = NDArray[np.float64]
Kind = Literal["gradient products", "activation products"]
GRADIENTS: Kind = "gradient products"
ACTIVATIONS: Kind = "activation products"


@attrs.frozen(kw_only=True, eq=False)
class OracleQuery:
    """One question to a model."""

    kind: Kind
    examples: Examples
    batches: Sequence[Batch]
    right: Factors
    left: Factors = attrs.field(factory=dict)

    def of(self, model: BoostedModel) -> dict[tuple[str, str], Matrix]:
        """A model's answers, by site and side; those that it leaves out are not there."""
        if self.kind == ACTIVATIONS:
            heard = model.activation_products(self.examples, self.batches, self.right)
            return {(site, "right"): product for site, product in heard.items()}
        found = model.gradient_products(self.examples, self.batches, right=self.right, left=self.left)
        sides = {
            (site, side): getattr(products, side)
            for site, products in found.items()
            for side in ("right", "left")
        }
        return {key: product for key, product in sides.items() if product is not None}


class RecordingModel:
    """The truth's model, which remembers what it was asked."""

    def __init__(self, model: BoostedModel) -> None:
        self._model = model
        self.asked = list[OracleQuery]()
        self.probes = list[TrainingRequest]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def gradient_products(
        self, examples: Examples, batches: Sequence[Batch], *, right: Factors, left: Factors
    ) -> Mapping[str, Products]:
        """As the model answers."""
        question = OracleQuery(kind=GRADIENTS, examples=examples, batches=batches, right=right, left=left)
        self.asked.append(question)
        return self._model.gradient_products(examples, batches, right=right, left=left)

    def activation_products(self, examples: Examples, batches: Sequence[Batch], right: Factors) -> Factors:
        """As the model answers."""
        self.asked.append(OracleQuery(kind=ACTIVATIONS, examples=examples, batches=batches, right=right))
        return self._model.activation_products(examples, batches, right)

    def train(self, request: TrainingRequest) -> Training:
        """As the model trains; a request whose batches are known is a probe's, others have answers sampled."""
        if not callable(request.batches):
            self.probes.append(request)
        return self._model.train(request)


@attrs.frozen(kw_only=True, eq=False)
class CalibratedFrames:
    """The truth's frames of a round, and what was asked for them."""

    frames: Mapping[str, Frame]
    asked: Sequence[OracleQuery]
    choosing: bool
    """Whether the last question was not the basis's own, but chose sites."""
    probes: int

    @property
    def of_basis(self) -> Sequence[OracleQuery]:
        """What the basis asked."""
        return self.asked[:-1] if self.choosing else self.asked

    @property
    def note(self) -> str:
        """What was left out."""
        return (
            "its basis trained a probe, whose directions are the truth's; that training was not compared"
            if self.probes
            else ""
        )


def hears(spec: Spec, number: int) -> bool:
    """Whether anything is asked of the data before round `number` trains."""
    return plan_round(spec, number).calibration is not None


def hear(session: Session, number: int, selection: Selection) -> CalibratedFrames:
    """Have the truth make the round's frames, and put its questions to the others. What they answer is compared."""
    truth = session.runners.truth
    listener: Any = RecordingModel(truth.experiment.model)
    experiment = attrs.evolve(truth.experiment, model=listener)
    told = (selection, truth.history[-1])
    with session.blamed(number, GRADIENTS, "every site", "truth"):
        frames = frames_for(
            experiment, plan_round(experiment.spec, number), truth.rounds, told, session.report
        )
    for place, question in enumerate(listener.asked, start=1):
        session.report("asking again", place, len(listener.asked))
        _compare(session, number, question, place)
    count = experiment.spec.boosting.top_sites
    return CalibratedFrames(
        frames=frames,
        asked=listener.asked,
        choosing=0 < count < len(experiment.sites),
        probes=len(listener.probes),
    )


def _compare(session: Session, number: int, question: OracleQuery, place: int) -> None:
    """Every model's answers to one question, site by site."""
    answers = dict[str, Mapping[tuple[str, str], Matrix]]()
    for role, model in session.models.items():
        with session.blamed(number, question.kind, "every site", role):
            answers[role] = question.of(model)
    truth, candidate = answers["truth"], answers["candidate"]
    yardstick, spread = answers.get("yardstick", truth), Spread(session=session, question=question)
    found = dict[str, list[Finding]]()
    for (site, side), t in truth.items():
        where = attrs.evolve(at(number, question.kind, site), note=f"question {place}, {side}")
        c, y = candidate.get((site, side)), yardstick[site, side]
        if c is None or c.shape != t.shape:
            said = "no answer" if c is None else f"{c.shape} instead of {t.shape}"
            one = attrs.evolve(where, error=math.inf, note=f"{where.note}: {said}")
        else:
            allowed = session.criterion.allowed(question.kind, distance(y, t), magnitude(t))
            one = attrs.evolve(where, error=distance(c, t), allowed=allowed)
            if allowed < one.error < math.inf:
                one = _again(one, c - t, spread.of(site, side))
        found.setdefault(site, []).append(one)
    session.add([attrs.evolve(worst(some), compared=len(some)) for some in found.values()])


def _again(one: Finding, off: Matrix, spread: Matrix) -> Finding:
    """Entry by entry, with room for what roundings of the weights do to an entry: a unit of a network may switch."""
    bounds = one.allowed + spread
    place = np.unravel_index(int(np.argmax(np.abs(off) / bounds)), off.shape)
    return attrs.evolve(one, error=float(np.abs(off[place])), allowed=float(bounds[place]))


@attrs.define(kw_only=True, eq=False)
class Spread:
    """How far the truth's answers move when every weight is off by a few roundings; asked only where it matters."""

    session: Session
    question: OracleQuery
    _found: dict[tuple[str, str], Matrix] | None = None

    def of(self, site: str, side: str) -> Matrix:
        """Entry by entry."""
        if self._found is None:
            self._found = self._measured()
        return self._found[site, side]

    def _measured(self) -> dict[tuple[str, str], Matrix]:
        truth = self.session.runners.truth
        model, rng = truth.experiment.model, truth.experiment.streams("verify-heard")
        exact, size = self.question.of(model), ROUNDINGS * self.session.criterion.unit
        weights = {site.name: model.weight(site.name) for site in truth.experiment.sites}
        found = {key: np.zeros_like(product) for key, product in exact.items()}
        try:
            for _ in range(DRAWS):
                noise: dict[str, Update] = {
                    site: DenseUpdate(delta=size * W * rng.standard_normal(W.shape))
                    for site, W in weights.items()
                }
                model.assemble([*truth.ensemble, (noise, 1.0)])
                for key, product in self.question.of(model).items():
                    found[key] = np.maximum(found[key], np.abs(product - exact[key]))
        finally:
            model.assemble(truth.ensemble)
        return found
