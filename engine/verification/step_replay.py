"""Recompute one training step with the truth at the candidate's parameters, which excludes errors of earlier steps.

Errors propagate from step to step, and training may amplify them: rounding may flip a ReLU, or the learning rate may be at
the edge of stability. So a step beyond its bound is recomputed by the truth at the candidate's own parameters. The gradient
may be discontinuous there too, so its spread under a few roundings of weights and frames is added to the bound. Frames are
included since `dR = (G L)^T (X M)`: if a direction is nearly orthogonal to the data, the terms `x_k m_k` of `X M` cancel, and
what remains is the rounding of these products.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from ..contracts import (
    BoostedModel,
    DenseDelta,
    DenseUpdate,
    FactoredUpdate,
    Frame,
    FreeFactors,
    LinearCore,
    Parametrisation,
    Step,
    TrainingRequest,
    Update,
)

Matrix = NDArray[np.float64]
Values = Mapping[str, Matrix]
Ensemble = Sequence[tuple[Mapping[str, Update], float]]

DRAWS = 8
ROUNDINGS = 4.0
"""Size of the perturbations in unit roundoffs, about the rounding of a long sum."""


def update_of(site: str, p: Parametrisation, frame: Frame | None, values: Values) -> Update:
    """The update of a site from trained values: `U diag(S^a) (sum_i v_i P_i) diag(S^b) V^T`, or `s B A`, or `dW` itself."""
    match p:
        case LinearCore():
            v = values[p.group]
            core = v.reshape(p.rank, p.rank) if p.projections is None else np.tensordot(v, p.projections, 1)
            if frame is None:
                raise ValueError(f"{site}: a linear core needs a frame")
            return FactoredUpdate(frame=frame, core=core, exponents=p.exponents)
        case FreeFactors():
            factors = Frame(U=values[f"{site}:B"], S=np.ones(p.rank), V=values[f"{site}:A"].T)
            return FactoredUpdate(frame=factors, core=p.scale * np.eye(p.rank), orthonormal=False)
        case DenseDelta():
            return DenseUpdate(delta=values[site])


def updates_of(request: TrainingRequest, values: Values) -> dict[str, Update]:
    """Updates of all sites from trained values."""
    return {
        site: update_of(site, p, request.frames.get(site), values)
        for site, p in request.parametrisations.items()
    }


@attrs.frozen(kw_only=True, eq=False)
class StepReplay:
    """Recomputes single steps of a round that starts from `ensemble`, with the truth."""

    model: BoostedModel
    ensemble: Ensemble
    request: TrainingRequest
    unit: float
    """The candidate's unit roundoff."""
    rng: np.random.Generator

    def step(self, number: int, values: Values | None) -> Step:
        """Loss and gradients of step `number` at the values before it; None means the initial values."""
        return self._one_step(number, values, self.ensemble, self.request)

    def spread(self, number: int, values: Values | None, exact: Step) -> dict[str, Matrix | float]:
        """Largest change of gradients, and of the loss (key `loss`), under a few roundings of every weight and frame."""
        found: dict[str, Matrix | float] = {"loss": 0.0}
        weights = {site: self._weight(site) for site in self.request.parametrisations}
        for _ in range(DRAWS):
            noise: dict[str, Update] = {
                site: DenseUpdate(delta=self._perturbation(W)) for site, W in weights.items()
            }
            frames = {
                site: attrs.evolve(f, U=f.U + self._perturbation(f.U), V=f.V + self._perturbation(f.V))
                for site, f in self.request.frames.items()
            }
            request = attrs.evolve(self.request, frames=frames)
            moved = self._one_step(number, values, [*self.ensemble, (noise, 1.0)], request)
            found["loss"] = max(found["loss"], abs(moved.loss - exact.loss))
            for name, gradient in moved.gradients.items():
                off = np.abs(gradient - exact.gradients[name])
                found[name] = np.maximum(found.get(name, 0.0), off)
        return found

    def _perturbation(self, matrix: Matrix) -> Matrix:
        """A random perturbation of a few roundings per entry."""
        return ROUNDINGS * self.unit * matrix * self.rng.standard_normal(matrix.shape)

    def _weight(self, site: str) -> Matrix:
        self.model.assemble(self.ensemble)
        return self.model.weight(site)

    def _one_step(
        self, number: int, values: Values | None, ensemble: Ensemble, request: TrainingRequest
    ) -> Step:
        """One step at given values. Cores start at them; other parametrisations are merged, and their dense gradient is pulled back."""
        traced = list[Step]()
        cores = all(isinstance(p, LinearCore) for p in request.parametrisations.values())
        parametrisations = request.parametrisations
        if values is not None and cores:
            parametrisations = {
                site: attrs.evolve(p, init=values[p.group])
                for site, p in parametrisations.items()
                if isinstance(p, LinearCore)
            }
        elif values is not None:
            ensemble = [*ensemble, (updates_of(request, values), 1.0)]
            parametrisations = {site: DenseDelta() for site in parametrisations}
        one = attrs.evolve(
            request,
            parametrisations=parametrisations,
            batches=[request.fixed_batches[number - 1]],
            learning_rates=np.zeros(1),
            trace=traced.append,
        )
        self.model.assemble(ensemble)
        try:
            self.model.train(one)
        finally:
            self.model.assemble(self.ensemble)
        if values is None or cores:
            return traced[0]
        return attrs.evolve(traced[0], gradients=_pull_back(request, values, traced[0].gradients))


def _pull_back(request: TrainingRequest, values: Values, dense: Values) -> dict[str, Matrix]:
    """Gradients of trained values from gradients of weights: `dv_i = <P_i, L^T G M>`; `dA = s B^T G`, `dB = s G A^T`."""
    total = dict[str, Matrix]()
    for site, p in request.parametrisations.items():
        G = dense[site]
        match p:
            case LinearCore():
                (a, b), frame = p.exponents, request.frames[site]
                dR = (frame.U * frame.S**a).T @ G @ (frame.V * frame.S**b)
                own = dR.ravel() if p.projections is None else np.tensordot(p.projections, dR, 2)
                total[p.group] = total[p.group] + own if p.group in total else own
            case FreeFactors():
                total[f"{site}:A"] = p.scale * values[f"{site}:B"].T @ G
                total[f"{site}:B"] = p.scale * G @ values[f"{site}:A"].T
            case DenseDelta():
                total[site] = G
    return total
