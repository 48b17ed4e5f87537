"""Training requests of every parametrisation, and gradients by central differences."""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray

from ..contracts import (
    Batch,
    BoostedModel,
    DenseDelta,
    DenseUpdate,
    FactoredUpdate,
    Frame,
    FreeFactors,
    LinearCore,
    Parametrisation,
    Training,
    TrainingRequest,
    Update,
)
from .perceptron import ReferencePerceptron
from .strategies import tiny_examples, tiny_values

SITE, RANK = "layers.1.weight", 2
KINDS = ("core", "unit-core", "tied-cores", "factors", "dense")


@attrs.frozen
class GradientDescent:
    """Plain gradient descent by the rule `sgd`: a step of rate 1 is minus the gradient."""

    rule: ClassVar[str] = "sgd"
    clip: float = 0.0
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0


def random_update(rng: np.random.Generator, shape: tuple[int, ...]) -> FactoredUpdate:
    """A random rank-2 update in random orthonormal directions."""
    U, _ = np.linalg.qr(rng.standard_normal((shape[0], RANK)))
    V, _ = np.linalg.qr(rng.standard_normal((shape[1], RANK)))
    return FactoredUpdate(frame=Frame(U=U, S=np.ones(RANK), V=V), core=rng.standard_normal((RANK, RANK)))


def make_request(model: BoostedModel, kind: str, steps: int) -> TrainingRequest:
    """A request that trains one parametrisation away from zero, so that every term of the gradient is nonzero.

    Examples have unequal weights, and may occur twice in a batch.
    """
    rng, examples = np.random.default_rng(7), tiny_examples()
    sites = ["layers.0.weight", SITE] if kind == "tied-cores" else [SITE]
    P = rng.standard_normal((3, RANK, RANK))
    parametrisations: dict[str, Parametrisation] = {}
    for site in sites:
        d_in = model.weight(site).shape[1]
        parametrisations[site] = {
            "core": LinearCore(
                rank=RANK, group="v", projections=P, init=np.full(3, 0.2), exponents=(0.5, 0.5)
            ),
            "tied-cores": LinearCore(
                rank=RANK, group="v", projections=P, init=np.full(3, 0.2), exponents=(1.0, 0.0)
            ),
            "unit-core": LinearCore(
                rank=RANK,
                group="v",
                projections=None,
                init=rng.standard_normal(RANK**2),
                exponents=(0.0, 0.0),
            ),
            "factors": FreeFactors(rank=RANK, scale=1.5, A=rng.standard_normal((RANK, d_in))),
            "dense": DenseDelta(),
        }[kind]
    batches = [Batch(indices=rng.integers(0, 20, 6), weights=rng.uniform(0.5, 2.0, 6)) for _ in range(steps)]
    return TrainingRequest(
        parametrisations=parametrisations,
        frames={site: model.directions(site, RANK) for site in sites},
        examples=examples,
        batches=batches,
        learning_rates=np.ones(steps),
        optimizer=GradientDescent(),
    )


def values_request(model: BoostedModel, kind: str, steps: int, delta: float | None) -> TrainingRequest:
    """The same request for a regression: squared error, or the Huber loss with threshold `delta`."""
    request = make_request(model, kind, steps)
    batches = [attrs.evolve(batch, delta=delta) for batch in request.fixed_batches]
    return attrs.evolve(request, examples=tiny_values(), batches=batches)


def finite_differences(
    perceptron: ReferencePerceptron, request: TrainingRequest, start: Training, name: str, h: float = 1e-5
) -> NDArray[np.float64]:
    """`(L(x + h e_i) - L(x - h e_i)) / 2h` for every entry of one value, in the reference arithmetic, not the backend's."""
    value, batch = start.values[name], request.fixed_batches[0]
    rows = request.examples.take(batch.indices)

    def loss(shifted: NDArray[np.float64]) -> float:
        updates = {
            site: _rebuild(request, site, {**start.values, name: shifted})
            for site in request.parametrisations
        }
        return float(np.sum(batch.weights * perceptron.losses(rows, updates, delta=batch.delta)) / len(batch))

    found = np.empty_like(value)
    for index in np.ndindex(value.shape):
        step = np.zeros_like(value)
        step[index] = h
        found[index] = (loss(value + step) - loss(value - step)) / (2 * h)
    return found


def _rebuild(request: TrainingRequest, site: str, values: dict[str, Any]) -> Update:
    """A site's update from its values, implemented independently of the backends."""
    match request.parametrisations[site]:
        case LinearCore() as p:
            v = values[p.group]
            core = v.reshape(p.rank, p.rank) if p.projections is None else np.tensordot(v, p.projections, 1)
            return FactoredUpdate(frame=request.frames[site], core=core, exponents=p.exponents)
        case FreeFactors() as p:
            return DenseUpdate(delta=p.scale * values[f"{site}:B"] @ values[f"{site}:A"])
        case _:
            return DenseUpdate(delta=values[site])
