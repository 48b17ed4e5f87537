"""What a round trains in, site by site: frames of the basis, parametrisations of the adapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import attrs
import numpy as np

from ..contracts import Frame, GradientOracle, InformedBasis, LinearCore, Parametrisation, Site
from ..errors import RunError, blame
from ..foundation.rng import Streams
from ..spec import Spec
from .checks import check_frame, check_parametrisation
from .options import adapter_of
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
    experiment: FrameContext, number: int, oracle: GradientOracle | None = None
) -> dict[str, Frame]:
    """Ask the basis for round `number`'s frame at every site; none where the adapter finds its own directions.

    Raises `RunError` for a basis that hears the data where there is no `evidence`.
    """
    if not experiment.spec["adapter"].framed:
        return {}
    basis, name = experiment.spec["basis"], experiment.name_of("basis")
    rank, earlier = experiment.spec.rank_of(number), experiment.spec.earlier_ranks(number)
    if isinstance(basis, InformedBasis):
        answers = _informed(experiment, number, oracle)
    else:
        answers = dict[str, Frame]()
        for site in experiment.sites:
            rng = experiment.streams("basis", number, site.name)
            with blame("basis", name):
                answers[site.name] = basis.frame(experiment.views[site.name], earlier, rank, rng)
    return {site.name: check_frame(answers.get(site.name), site, rank, name) for site in experiment.sites}


def _informed(experiment: FrameContext, number: int, oracle: GradientOracle | None) -> Mapping[str, Frame]:
    name, rank = experiment.name_of("basis"), experiment.spec.rank_of(number)
    if oracle is None:
        raise RunError(f"basis {name} takes its directions from the data of the round, which are not here")
    views = [experiment.views[site.name] for site in experiment.sites]
    earlier = experiment.spec.earlier_ranks(number)

    def rng(site: str) -> np.random.Generator:
        return experiment.streams("basis", number, site)

    with blame("basis", name):
        return experiment.spec["basis"].frames(views, earlier, rank, oracle, rng)


def parametrise(experiment: FrameContext, number: int) -> dict[str, Parametrisation]:
    """Ask the adapter what round `number` trains at every site; tied sites start where the first of their group does."""
    sites, adapter = tuple(experiment.sites), adapter_of(experiment.spec, number)
    found, first = dict[str, Parametrisation](), dict[str, LinearCore]()
    for site in sites:
        rng = experiment.streams("adapter", number, site.name)
        with blame("adapter", experiment.name_of("adapter")):
            answer: object = adapter.parametrise(site, sites, rng)
        p = check_parametrisation(answer, site, experiment.name_of("adapter"))
        if isinstance(p, LinearCore):
            p = attrs.evolve(p, init=first.setdefault(p.group, p).init)  # a group has one vector
        found[site.name] = p
    return found
