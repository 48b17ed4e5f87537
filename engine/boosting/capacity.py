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
    """Raises `ExhaustedError` where the sites have too few directions for all rounds, unless the basis stops or wraps by itself.

    A rank above the narrowest site's width is an error in any case: stopping or wrapping cannot give a site more directions.
    """
    _require_width(spec, sites)
    fresh, most = spec.boosting.fresh_in(spec.rounds), min_capacity(sites)
    if most is None or fresh <= most or spec.basis.exhausted != "error":
        return
    scarcest = min((s for s in sites if s.capacity is not None), key=lambda s: s.capacity or 0)
    allowed = spec.boosting.rounds_of(most)
    if allowed < spec.start.round:
        advice = f'Set basis.exhausted = "wrap"; or set start.round to at most {allowed}'
    else:
        leave = "" if spec.start.given else ", or leave the site out (sites.exclude)"
        advice = f'Set rounds to at most {allowed}; or set basis.exhausted = "stop" or "wrap"{leave}'
    raise ExhaustedError(
        f"{_site_text(scarcest.site)}; rounds = {spec.rounds} at {_ranks_text(spec)} need {sum(spec.ranks.first(fresh))}. {advice}"
    )


def _require_width(spec: Spec, sites: Sequence[SitePlan]) -> None:
    """Raises `ExhaustedError` for the first round whose rank exceeds the narrowest site's number of singular directions."""
    if not spec.adapter.framed:
        return
    narrowest = min((plan.site for plan in sites), key=lambda site: site.width)
    inherited, listed = len(spec.start.ranks), len(spec.boosting.ranks)
    # All rounds after the listed ones have the same rank: one of them stands for all.
    known = min(spec.boosting.fresh_in(spec.rounds), max(inherited, listed) + 1)
    for index, rank in enumerate(spec.ranks.first(known)):
        if rank > narrowest.width:
            table = "start" if index < inherited else "boosting" if index < listed else ""
            where = f"{table}.ranks[{index}]" if table else "adapter.rank"
            raise ExhaustedError(
                f"{_site_text(narrowest)}, fewer than {where} = {rank}; the largest allowed rank is {narrowest.width}"
            )


def _site_text(site: Site) -> str:
    return f"{site.name} {site.shape[0]}x{site.shape[1]} has {site.width} singular directions"


def _ranks_text(spec: Spec) -> str:
    """The ranks of all rounds, as options of the spec."""
    parts = [f"adapter.rank = {spec.adapter.rank}"]
    if spec.boosting.ranks:
        parts.append(f"boosting.ranks = {shortened(str(list(spec.boosting.ranks)))}")
    if spec.start.ranks:
        parts.append(f"{shortened(str(list(spec.start.ranks)))} inherited")
    return " and ".join(parts)
