"""Setup of a round: frames, parametrisations and the training request, for new directions or for a refit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from ..contracts import (
    Batches,
    FactoredUpdate,
    Frame,
    GradientOracle,
    LinearCore,
    Outcome,
    Parametrisation,
    Selection,
    TrainingRequest,
    Update,
)
from ..errors import RunError
from ..foundation.run_context import Report
from .calibration import oracle_of, require_passes
from .experiment import Experiment
from .frames import frames_of, parametrise
from .refit import Past, Refit, refit_of
from .round_plan import RoundPlan


@attrs.frozen(kw_only=True, eq=False)
class Merged:
    """A round that is part of the model."""

    plan: RoundPlan
    updates: Mapping[str, Update]
    scale: float


class NothingToRefitError(RunError):
    """A refit without an earlier merged round to train again. Its message is part of the record's digest."""


def frames_for(
    experiment: Experiment,
    plan: RoundPlan,
    past: Sequence[Merged],
    data: tuple[Selection, Outcome] | None,
    report: Report,
) -> dict[str, Frame]:
    """The round's frame at every site that it adapts; empty for an adapter without frames.

    `data` is the round's selection and the current model's outcome on the training split; a round with calibration needs it.
    """
    if plan.refit:
        return dict(refit_for(experiment, past).frames)
    oracle = None
    if plan.calibration is not None and data is not None:
        selection, outcome = data
        oracle = oracle_of(experiment, plan, selection, outcome, report)
    frames = frames_of(experiment, plan, oracle)
    if oracle is None or plan.calibration is None:
        return frames
    if plan.data_driven:
        require_passes(oracle, experiment.spec.basis.calibration(plan.rank), experiment.name_of("basis"))
    if not 0 < plan.top_sites < len(frames):
        return frames
    chosen = largest_gradient_sites(frames, parametrise(experiment, plan), oracle, plan.top_sites)
    return {site: frames[site] for site in chosen}


def largest_gradient_sites(
    frames: Mapping[str, Frame],
    parametrisations: Mapping[str, Parametrisation],
    oracle: GradientOracle,
    count: int,
) -> list[str]:
    """The `count` sites with the largest `||dL/dv||_2` at the current model, in the order of sites. Ties go to the earlier site.

    To first order, a step of length h along the gradient at one site lowers the loss by `h ||dL/dv||`.
    By the chain rule `dL/dv_i = <P_i, dL/dR>`, with `dL/dR = diag(S^a) U' G V diag(S^b) (r, r)`. One pass gives all products
    `G' U diag(S^a) (d_in, r)`.
    """
    cores = {site: p for site, p in parametrisations.items() if isinstance(p, LinearCore)}
    left = {site: frames[site].U * frames[site].S ** p.exponents[0] for site, p in cores.items()}
    products = oracle.gradient_products(left=left)
    norms = list[float]()
    for site, p in cores.items():
        product = products[site].left
        if product is None:
            raise TypeError(f"{site}: gradient_products() returned no left product")
        right = frames[site].V * frames[site].S ** p.exponents[1]
        norms.append(float(np.linalg.norm(core_gradient(p, product.T @ right))))
    chosen = set(np.argsort(-np.array(norms), kind="stable")[:count].tolist())
    return [site for index, site in enumerate(cores) if index in chosen]


def core_gradient(core: LinearCore, gradient: NDArray[np.float64]) -> NDArray[np.float64]:
    """`dL/dv (u,)` from `gradient = dL/dR (r, r)`: entry i is `<P_i, dL/dR>`."""
    return gradient.ravel() if core.projections is None else np.tensordot(core.projections, gradient, 2)


def refit_for(experiment: Experiment, past: Sequence[Merged]) -> Refit:
    """The refit of all earlier rounds with new directions. Raises `NothingToRefitError` where there is none."""
    found = refit_of(
        [
            Past(number=r.plan.number, updates=r.updates, parametrisations=parametrise(experiment, r.plan))
            for r in past
            if not r.plan.refit
        ]
    )
    if not found.frames:
        raise NothingToRefitError(
            "boosting.refit_every: no earlier round has been merged whose cores could be trained again"
        )
    return found


def parametrisations_for(
    experiment: Experiment, plan: RoundPlan, past: Sequence[Merged], frames: Mapping[str, Frame]
) -> dict[str, Parametrisation]:
    """What the round trains at every site that it adapts."""
    if plan.refit:
        return dict(refit_for(experiment, past).parametrisations)
    found = parametrise(experiment, plan)
    return {site: p for site, p in found.items() if site in frames} if frames else found


def request_for(
    experiment: Experiment,
    plan: RoundPlan,
    past: Sequence[Merged],
    frames: Mapping[str, Frame],
    *,
    batches: Batches,
    report: Report,
) -> TrainingRequest:
    """The backend's training request for the round, on these batches and in these frames."""
    return TrainingRequest(
        parametrisations=parametrisations_for(experiment, plan, past, frames),
        frames=frames,
        examples=experiment.encoded.train,
        batches=batches,
        learning_rates=plan.learning_rates,
        optimizer=plan.optimizer,
        on_step=lambda step, _: report("training", step, plan.steps),
    )


def stored_parameters(plan: RoundPlan, updates: Mapping[str, Update], parameters: int) -> int | None:
    """Parameters to store so that the round can be rebuilt; None: the trained `parameters` suffice.

    Frames from the weights alone are recomputed from the base. Frames from data are not, so `r (d_out + d_in)` values per site are added.
    A refit's cores are added to those of earlier rounds, so it stores none of its own.
    """
    if plan.refit:
        return 0
    if not plan.data_driven:
        return None
    factored = [u for u in updates.values() if isinstance(u, FactoredUpdate)]
    return parameters + sum(u.frame.rank * sum(u.shape) for u in factored)
