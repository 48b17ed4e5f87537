"""What a round trains in, site by site: frames of the basis, parametrisations of the adapter."""

from __future__ import annotations

import attrs

from ..contracts import Frame, LinearCore, Parametrisation
from ..errors import blame
from .checks import check_frame, check_parametrisation
from .experiment import Experiment


def frames_of(experiment: Experiment, number: int) -> dict[str, Frame]:
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


def parametrise(experiment: Experiment, number: int) -> dict[str, Parametrisation]:
    """Ask the adapter what round `number` trains at every site; tied sites start where the first of their group does."""
    sites = experiment.sites
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
