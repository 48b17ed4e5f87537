"""How many rounds the directions of a run's sites last, and how many of them are computed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from ..contracts import Site
from ..errors import ExhaustedError, blame
from ..foundation.options import shortened
from ..spec import Spec


@attrs.frozen(kw_only=True)
class SitePlan:
    """One site's share of the plan."""

    site: Site
    capacity: int | None
    """Rounds its directions last; None: without end."""
    depth: int
    """Singular directions of the base weight that the run computes."""


def served_by(sites: Iterable[SitePlan]) -> int | None:
    """Rounds that every site can serve; None: without end."""
    return min((site.capacity for site in sites if site.capacity is not None), default=None)


def plan_site(spec: Spec, site: Site) -> SitePlan:
    """How many rounds a site can serve, and how many singular directions they take."""
    adapter, basis = spec.adapter, spec.basis
    if not adapter.framed:
        return SitePlan(site=site, capacity=None, depth=0)
    fresh = spec.boosting.fresh_in(spec.rounds)
    with blame("basis", spec.slots["basis"].use):
        capacity = spec.ranks.served(site.width, basis.capacity(site.width))
        played = fresh if capacity is None else min(fresh, capacity)
        depth = basis.depth(spec.ranks.first(played), site.width)
    return SitePlan(site=site, capacity=capacity, depth=depth)


def check_capacity(spec: Spec, sites: Sequence[SitePlan]) -> None:
    """Refuse rounds that the directions cannot serve, unless the basis declares what then happens."""
    fresh, most = spec.boosting.fresh_in(spec.rounds), served_by(sites)
    if most is None or fresh <= most:
        return
    scarcest = min((s for s in sites if s.capacity is not None), key=lambda s: s.capacity or 0)
    site, rank = scarcest.site, spec.ranks[most]
    what = f"{site.name} {site.shape[0]}x{site.shape[1]} has {site.width} singular directions"
    where = "adapter.rank" if most >= len(spec.boosting.ranks) else f"boosting.ranks[{most}]"
    if rank > site.width:
        raise ExhaustedError(f"{what}, fewer than {where} = {rank}; the largest legal rank is {site.width}")
    if spec.basis.exhausted == "error":
        leave = "" if spec.start.given else ", or leave the site out (sites.exclude)"
        raise ExhaustedError(
            f"{what}; rounds = {spec.rounds} at {_ranks_text(spec)} need {sum(spec.ranks.first(fresh))}. The largest legal "
            f'rounds is {spec.boosting.rounds_of(most)}; or set basis.exhausted = "stop" or "wrap"{leave}'
        )


def _ranks_text(spec: Spec) -> str:
    """The ranks of all rounds, in the words of the spec."""
    parts = [f"adapter.rank = {spec.adapter.rank}"]
    if spec.boosting.ranks:
        parts.append(f"boosting.ranks = {shortened(str(list(spec.boosting.ranks)))}")
    if spec.start.ranks:
        parts.append(f"{shortened(str(list(spec.start.ranks)))} inherited")
    return " and ".join(parts)
