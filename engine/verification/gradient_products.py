"""Compare calibration at the start of a round: the truth's oracle queries are repeated on every model.

Frames from gradients cannot be compared vector by vector: rounding rotates singular vectors of close singular values freely,
and a range finder's second query depends on the result of its first. So only the truth computes frames. Its queries are
recorded, and repeated on the other models with the same factors, examples and batches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from ..boosting.round_plan import RoundPlan
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
from .findings import Finding, distance, magnitude, worst
from .session import Session, at
from .step_replay import DRAWS, ROUNDINGS

Matrix = NDArray[np.float64]
Kind = Literal["gradient products", "activation products"]
GRADIENTS: Kind = "gradient products"
ACTIVATIONS: Kind = "activation products"


@attrs.frozen(kw_only=True, eq=False)
class OracleQuery:
    """One query of a gradient oracle."""

    kind: Kind
    examples: Examples
    batches: Sequence[Batch]
    right: Factors
    left: Factors = attrs.field(factory=dict)

    def of(self, model: BoostedModel) -> dict[tuple[str, str], Matrix]:
        """A model's products by site and side; products that it omits are absent."""
        if self.kind == ACTIVATIONS:
            products = model.activation_products(self.examples, self.batches, self.right)
            return {(site, "right"): product for site, product in products.items()}
        found = model.gradient_products(self.examples, self.batches, right=self.right, left=self.left)
        sides = {
            (site, side): getattr(products, side)
            for site, products in found.items()
            for side in ("right", "left")
        }
        return {key: product for key, product in sides.items() if product is not None}


class RecordingModel:
    """Wraps the truth's model and records its queries."""

    def __init__(self, model: BoostedModel) -> None:
        self._model = model
        self.queries = list[OracleQuery]()
        self.probes = list[TrainingRequest]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def gradient_products(
        self, examples: Examples, batches: Sequence[Batch], *, right: Factors, left: Factors
    ) -> Mapping[str, Products]:
        """Record the query, and delegate."""
        query = OracleQuery(kind=GRADIENTS, examples=examples, batches=batches, right=right, left=left)
        self.queries.append(query)
        return self._model.gradient_products(examples, batches, right=right, left=left)

    def activation_products(self, examples: Examples, batches: Sequence[Batch], right: Factors) -> Factors:
        """Record the query, and delegate."""
        self.queries.append(OracleQuery(kind=ACTIVATIONS, examples=examples, batches=batches, right=right))
        return self._model.activation_products(examples, batches, right)

    def train(self, request: TrainingRequest) -> Training:
        """Delegate training; a request with fixed batches is that of a probe, others sample rollouts."""
        if not callable(request.batches):
            self.probes.append(request)
        return self._model.train(request)


@attrs.frozen(kw_only=True, eq=False)
class CalibratedFrames:
    """The truth's frames of a round, with the queries behind them."""

    frames: Mapping[str, Frame]
    queries: Sequence[OracleQuery]
    selects_sites: bool
    """Whether the last query is not the basis's, but the one that selects sites."""
    probes: int

    @property
    def of_basis(self) -> Sequence[OracleQuery]:
        """Queries of the basis."""
        return self.queries[:-1] if self.selects_sites else self.queries

    @property
    def note(self) -> str:
        """What was not compared."""
        return (
            "its basis trained a probe, whose directions are the truth's; that training was not compared"
            if self.probes
            else ""
        )


def calibrate_frames(session: Session, plan: RoundPlan, selection: Selection) -> CalibratedFrames:
    """Compute the round's frames with the truth, repeat its queries on the other models, and compare the products."""
    truth, number = session.runners.truth, plan.number
    recorder: Any = RecordingModel(truth.experiment.model)
    experiment = attrs.evolve(truth.experiment, model=recorder)
    calibration_data = (selection, truth.history[-1])
    with session.blamed(number, GRADIENTS, "every site", "truth"):
        frames = frames_for(experiment, plan, truth.rounds, calibration_data, session.report)
    for place, query in enumerate(recorder.queries, start=1):
        session.report("repeating queries", place, len(recorder.queries))
        _compare(session, number, query, place)
    return CalibratedFrames(
        frames=frames,
        queries=recorder.queries,
        selects_sites=0 < plan.top_sites < len(experiment.sites),
        probes=len(recorder.probes),
    )


def _compare(session: Session, number: int, query: OracleQuery, place: int) -> None:
    """Every model's answers to one question, site by site."""
    answers = dict[str, Mapping[tuple[str, str], Matrix]]()
    for role, model in session.models.items():
        with session.blamed(number, query.kind, "every site", role):
            answers[role] = query.of(model)
    truth, candidate = answers["truth"], answers["candidate"]
    yardstick, spread = answers.get("yardstick", truth), Spread(session=session, query=query)
    found = dict[str, list[Finding]]()
    for (site, side), t in truth.items():
        where = attrs.evolve(at(number, query.kind, site), note=f"query {place}, {side}")
        c, y = candidate.get((site, side)), yardstick[site, side]
        if c is None or c.shape != t.shape:
            said = "no product" if c is None else f"{c.shape} instead of {t.shape}"
            one = attrs.evolve(where, error=math.inf, note=f"{where.note}: {said}")
        else:
            allowed = session.criterion.allowed(query.kind, distance(y, t), magnitude(t))
            one = attrs.evolve(where, error=distance(c, t), allowed=allowed)
            if allowed < one.error < math.inf:
                one = _entrywise(one, c - t, spread.of(site, side))
        found.setdefault(site, []).append(one)
    session.add([attrs.evolve(worst(some), compared=len(some)) for some in found.values()])


def _entrywise(one: Finding, off: Matrix, spread: Matrix) -> Finding:
    """Compare entry by entry, with the spread due to roundings of the weights added: a ReLU may flip."""
    bounds = one.allowed + spread
    place = np.unravel_index(int(np.argmax(np.abs(off) / bounds)), off.shape)
    return attrs.evolve(one, error=float(np.abs(off[place])), allowed=float(bounds[place]))


@attrs.define(kw_only=True, eq=False)
class Spread:
    """Spread of the truth's products under a few roundings of every weight; computed only when needed."""

    session: Session
    query: OracleQuery
    _found: dict[tuple[str, str], Matrix] | None = None

    def of(self, site: str, side: str) -> Matrix:
        """Spread of every entry."""
        if self._found is None:
            self._found = self._measured()
        return self._found[site, side]

    def _measured(self) -> dict[tuple[str, str], Matrix]:
        truth = self.session.runners.truth
        model, rng = truth.experiment.model, truth.experiment.streams("verify-calibration")
        exact, size = self.query.of(model), ROUNDINGS * self.session.criterion.unit
        weights = {site.name: model.weight(site.name) for site in truth.experiment.sites}
        found = {key: np.zeros_like(product) for key, product in exact.items()}
        try:
            for _ in range(DRAWS):
                noise: dict[str, Update] = {
                    site: DenseUpdate(delta=size * W * rng.standard_normal(W.shape))
                    for site, W in weights.items()
                }
                model.assemble([*truth.ensemble, (noise, 1.0)])
                for key, product in self.query.of(model).items():
                    found[key] = np.maximum(found[key], np.abs(product - exact[key]))
        finally:
            model.assemble(truth.ensemble)
        return found
