"""What a round trains in, site by site: frames of the basis, parametrisations of the adapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import attrs

from ..contracts import Frame, LinearCore, Parametrisation, Site
from ..errors import blame
from ..spec import Spec
from ..streams import Streams
from .checks import check_frame, check_parametrisation
from .views import View


class Asking(Protocol):
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


def frames_of(experiment: Asking, number: int) -> dict[str, Frame]:
    """Ask the basis for round `number`'s frame at every site; none where the adapter finds its own directions."""
    if not experiment.spec["adapter"].framed:
        return {}
    name, rank = experiment.name_of("basis"), experiment.spec["adapter"].rank
    frames = dict[str, Frame]()
    for site in experiment.sites:
        rng = experiment.streams("basis", number, site.name)
        with blame("basis", name):
            frame = experiment.spec["basis"].frame(experiment.views[site.name], number - 1, rank, rng)
        frames[site.name] = check_frame(frame, site, rank, name)
    return frames


def parametrise(experiment: Asking, number: int) -> dict[str, Parametrisation]:
    """Ask the adapter what round `number` trains at every site; tied sites start where the first of their group does."""
    sites = tuple(experiment.sites)
    found, first = dict[str, Parametrisation](), dict[str, LinearCore]()
    for site in sites:
        rng = experiment.streams("adapter", number, site.name)
        with blame("adapter", experiment.name_of("adapter")):
            answer: object = experiment.spec["adapter"].parametrise(site, sites, rng)
        p = check_parametrisation(answer, site, experiment.name_of("adapter"))
        if isinstance(p, LinearCore):
            p = attrs.evolve(p, init=first.setdefault(p.group, p).init)  # a group has one vector
        found[site.name] = p
    return found
