"""What a round trains in, site by site: frames of the basis, parametrisations of the adapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import attrs
import numpy as np

from ..contracts import Frame, GradientOracle, LinearCore, Parametrisation, Site
from ..errors import RunError, blame
from ..foundation.rng import Streams
from ..spec import Spec
from .checks import check_frame, check_parametrisation
from .round_plan import RoundPlan
from .views import View


class FrameContext(Protocol):
    """What the answers of basis and adapter depend on: an experiment, or what is left of one in a file."""

    @property
    def spec(self) -> Spec:
        """With the slots `basis` and `adapter` at least."""
        ...

    @property
    def streams(self) -> Streams:
        """All randomness."""
        ...

    @property
    def sites(self) -> Sequence[Site]:
        """The adapted weights, in the model's order."""
        ...

    @property
    def views(self) -> Mapping[str, View]:
        """By site, what a basis may ask."""
        ...

    def name_of(self, slot: str) -> str:
        """The plugin in a slot, by its name in the spec."""
        ...


def frames_of(
    experiment: FrameContext, plan: RoundPlan, oracle: GradientOracle | None = None
) -> dict[str, Frame]:
    """The round's frame at every site; none where the adapter finds its own directions.

    Raises `RunError` for a data-driven basis without an `oracle`.
    """
    if not experiment.spec.adapter.framed:
        return {}
    basis, name, views = experiment.spec.basis, experiment.name_of("basis"), experiment.views
    if oracle is None and plan.data_driven:
        raise RunError(f"basis {name} takes its directions from the round's data, which are not here")

    def rng(site: str) -> np.random.Generator:
        return experiment.streams("basis", plan.number, site)

    with blame("basis", name):
        answers = basis.frames(
            [views[site.name] for site in experiment.sites], plan.earlier, plan.rank, oracle, rng
        )
    return {
        site.name: check_frame(answers.get(site.name), site, plan.rank, name) for site in experiment.sites
    }


def parametrise(experiment: FrameContext, plan: RoundPlan) -> dict[str, Parametrisation]:
    """What the round trains at every site; tied sites start where the first of their group does."""
    sites = tuple(experiment.sites)
    found, first = dict[str, Parametrisation](), dict[str, LinearCore]()
    for site in sites:
        rng = experiment.streams("adapter", plan.number, site.name)
        with blame("adapter", experiment.name_of("adapter")):
            answer: object = plan.adapter.parametrise(site, sites, rng)
        p = check_parametrisation(answer, site, experiment.name_of("adapter"))
        if isinstance(p, LinearCore):
            p = attrs.evolve(p, init=first.setdefault(p.group, p).init)  # a group has one vector
        found[site.name] = p
    return found
