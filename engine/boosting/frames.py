"""A round's frames (from the basis) and parametrisations (from the adapter), by site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import attrs
import numpy as np
from threadpoolctl import threadpool_limits

from ..contracts import Frame, GradientOracle, LinearCore, Parametrisation, Site
from ..errors import RunError, blame
from ..foundation.rng import Streams
from ..spec import Spec
from .checks import check_frame, check_parametrisation
from .round_plan import RoundPlan
from .views import View


class FrameContext(Protocol):
    """What frames and parametrisations depend on: an experiment, or the part of it that a boost file keeps."""

    @property
    def spec(self) -> Spec:
        """With the slots `basis` and `adapter` at least."""
        ...

    @property
    def streams(self) -> Streams:
        """The run's named random streams."""
        ...

    @property
    def sites(self) -> Sequence[Site]:
        """The adapted weights, in the model's order."""
        ...

    @property
    def views(self) -> Mapping[str, View]:
        """The basis's view of every site, by name."""
        ...

    def name_of(self, slot: str) -> str:
        """The name in the spec of a slot's plugin."""
        ...


def frames_of(
    experiment: FrameContext, plan: RoundPlan, oracle: GradientOracle | None = None
) -> dict[str, Frame]:
    """The round's frame at every site; empty for an adapter without frames.

    Raises `RunError` for a data-driven basis without an `oracle`.
    """
    # LoRA and dense updates train their own directions: the basis is never called.
    if not experiment.spec.adapter.framed:
        return {}
    basis, name, views = experiment.spec.basis, experiment.name_of("basis"), experiment.views
    if oracle is None and plan.data_driven:
        raise RunError(
            f"basis {name} computes round {plan.number}'s frames from training data, which is not available here"
        )

    def rng(site: str) -> np.random.Generator:
        # A stream per round and site: a site's directions do not depend on which other sites are adapted.
        return experiment.streams("basis", plan.number, site)

    # One BLAS thread: with several, sums are rounded in another order, and a run would depend on the number of cores.
    with blame("basis", name), threadpool_limits(1, user_api="blas"):
        found = basis.frames(
            [views[site.name] for site in experiment.sites], plan.earlier, plan.rank, oracle, rng
        )
    return {site.name: check_frame(found.get(site.name), site, plan.rank, name) for site in experiment.sites}


def parametrise(experiment: FrameContext, plan: RoundPlan) -> dict[str, Parametrisation]:
    """What the round trains at every site. Tied sites share one trained vector `v`, so they share the first site's `init`."""
    sites = tuple(experiment.sites)
    found, first = dict[str, Parametrisation](), dict[str, LinearCore]()
    for site in sites:
        rng = experiment.streams("adapter", plan.number, site.name)
        with blame("adapter", experiment.name_of("adapter")):
            parametrisation: object = plan.adapter.parametrise(site, sites, rng)
        p = check_parametrisation(parametrisation, site, experiment.name_of("adapter"))
        if isinstance(p, LinearCore):
            # Projections stay those of each site: tied sites share `v`, not R.
            p = attrs.evolve(p, init=first.setdefault(p.group, p).init)
        found[site.name] = p
    return found
