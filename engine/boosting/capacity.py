"""Capacity: how many rounds each site's singular directions can serve, and how many of them the run computes.

A `d_out x d_in` weight has `min(d_out, d_in)` singular directions. A basis that uses every direction once serves T rounds of ranks
`r_t` as long as `sum_t r_t <= min(d_out, d_in)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from ..contracts import Site
from ..errors import ExhaustedError, blame
from ..foundation.options import shortened
from ..spec import Spec


@attrs.frozen(kw_only=True)
class SitePlan:
    """One site in the plan."""

    site: Site
    capacity: int | None
    """Rounds that its directions can serve; None: unlimited."""
    depth: int
    """Leading singular directions of the base weight that the run computes."""


def min_capacity(sites: Iterable[SitePlan]) -> int | None:
    """Rounds that every site can serve; None: unlimited."""
    return min((site.capacity for site in sites if site.capacity is not None), default=None)


def plan_site(spec: Spec, site: Site) -> SitePlan:
    """A site's capacity in rounds, and the singular directions that these rounds use."""
    adapter, basis = spec.adapter, spec.basis
    if not adapter.framed:
        return SitePlan(site=site, capacity=None, depth=0)
    fresh = spec.boosting.fresh_in(spec.rounds)
    with blame("basis", spec.slots["basis"].use):
        capacity = spec.ranks.served(site.width, basis.capacity(site.width))
        rounds = fresh if capacity is None else min(fresh, capacity)
        depth = basis.depth(spec.ranks.first(rounds), site.width)
    return SitePlan(site=site, capacity=capacity, depth=depth)


def check_capacity(spec: Spec, sites: Sequence[SitePlan]) -> None:
    """Raises `ExhaustedError` where the sites have too few directions, unless the basis stops or wraps by itself."""
    fresh, most = spec.boosting.fresh_in(spec.rounds), min_capacity(sites)
    if most is None or fresh <= most:
        return
    scarcest = min((s for s in sites if s.capacity is not None), key=lambda s: s.capacity or 0)
    site, rank = scarcest.site, spec.ranks[most]
    what = f"{site.name} {site.shape[0]}x{site.shape[1]} has {site.width} singular directions"
    where = "adapter.rank" if most >= len(spec.boosting.ranks) else f"boosting.ranks[{most}]"
    if rank > site.width:
        raise ExhaustedError(f"{what}, fewer than {where} = {rank}; the largest allowed rank is {site.width}")
    if spec.basis.exhausted == "error":
        leave = "" if spec.start.given else ", or leave the site out (sites.exclude)"
        raise ExhaustedError(
            f"{what}; rounds = {spec.rounds} at {_ranks_text(spec)} need {sum(spec.ranks.first(fresh))}. Set rounds to at most "
            f'{spec.boosting.rounds_of(most)}; or set basis.exhausted = "stop" or "wrap"{leave}'
        )


def _ranks_text(spec: Spec) -> str:
    """The ranks of all rounds, as options of the spec."""
    parts = [f"adapter.rank = {spec.adapter.rank}"]
    if spec.boosting.ranks:
        parts.append(f"boosting.ranks = {shortened(str(list(spec.boosting.ranks)))}")
    if spec.start.ranks:
        parts.append(f"{shortened(str(list(spec.start.ranks)))} inherited")
    return " and ".join(parts)
