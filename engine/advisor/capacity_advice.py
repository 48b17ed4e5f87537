"""What a round trains: its core, its rank, its sites."""

from __future__ import annotations

import math
from typing import Any

from .advice import Advice
from .findings import BasisFinding, Findings
from .formats import percent, plural
from .studies import WHOLE_CORE
from .thresholds import Thresholds

KEPT = "a round that trains earlier cores again takes those of the spec's own kind and rank alone"
"""Why a run that is to be refitted keeps its core and its rank."""


def core_advice(findings: Findings, chosen: BasisFinding, limits: Thresholds, *, refit: bool) -> Advice:
    """All r x r numbers, unless the spec's core holds nearly as much with fewer, or is to be trained again."""
    wanted, share = _core(findings, chosen, limits), _shares(chosen)
    reason = f"in {chosen.name} frames a diagonal core holds {percent(share['diagonal'])} of what all r x r numbers hold"
    if findings.framed and findings.adapter not in {"diagonal", "lora-xs"}:
        reason += f", the spec's {findings.adapter} {percent(share['adapter'])}"
    if wanted != findings.adapter and refit:
        reason += f"; {wanted} is for a new run: {KEPT}"
        return Advice(topic="core", choice=f"{findings.adapter}, as it is", reason=reason, settings={})
    if not findings.framed:
        reason += (
            f"; {findings.adapter} needs no frame and trains many more numbers, and ended level or above in the studies; where these are "
            "to be few, take a core"
        )
    elif share["diagonal"] >= limits.diagonal:
        reason += f"; {WHOLE_CORE}"
    numbers = {
        "diagonal": f", {findings.rank} numbers a site",
        "lora-xs": f", {findings.rank**2} numbers a site",
    }
    settings: dict[str, Any] = {} if findings.adapter == wanted else {"adapter.use": wanted}
    if not findings.framed:
        settings |= {"adapter.rank": findings.rank}
    return Advice(topic="core", choice=wanted + numbers.get(wanted, ""), reason=reason, settings=settings)


def shot_rank(findings: Findings, chosen: BasisFinding, limits: Thresholds) -> int:
    """The rank at which one round trains as many numbers as all rounds, as far as the narrowest site goes."""
    times = findings.fresh if _core(findings, chosen, limits) == "diagonal" else math.sqrt(findings.fresh)
    return min(narrowest(findings), int(findings.rank * times))


def narrowest(findings: Findings) -> int:
    """How many directions every site has."""
    return min(min(site.shape) for site in findings.sites)


def _core(findings: Findings, chosen: BasisFinding, limits: Thresholds) -> str:
    """The spec's adapter where its core holds enough; else the whole core, since a first step tells what it holds, not what it could."""
    share = _shares(chosen)
    if findings.adapter == "diagonal":
        return "diagonal" if share["diagonal"] >= limits.diagonal else "lora-xs"
    return findings.adapter if findings.framed and share["adapter"] >= limits.own_core else "lora-xs"


def _shares(chosen: BasisFinding) -> dict[str, float]:
    """Of what the whole core holds."""
    square = chosen.first["square"].held_out
    held = {core: share.held_out / square if square else 0.0 for core, share in chosen.first.items()}
    return {"adapter": 0.0, **held}


def rank_advice(
    findings: Findings, chosen: BasisFinding, limits: Thresholds, *, refit: bool, shot: int | None
) -> Advice:
    """The smallest rank whose leading directions hold enough; a spec's larger one stays, since later gradients are flatter.

    `shot` is the rank of the one round that is advised instead of many, where it is.
    """
    if shot is not None:
        return Advice(topic="rank", choice=f"r = {shot}", reason="see rounds", settings={})
    half, most = (rank_for(findings, share) for share in (limits.enough, limits.sites))
    words = f"{100 * limits.sites:g} % of what the leading {max(findings.leading)} directions of the gradient hold is in the first {most}"
    told = words if half == most else f"{words}, half in the first {half}"
    if not chosen.data_driven:
        return Advice(
            topic="rank",
            choice=f"r = {findings.rank}, as it is",
            reason=f"{told}; but {chosen.name} does not follow them",
            settings={},
        )
    if half > findings.rank and not refit:
        return Advice(topic="rank", choice=f"r = {half}", reason=told, settings={"adapter.rank": half})
    if half > findings.rank:
        told += f"; {KEPT}"
    elif half < findings.rank:
        told += "; fewer would do for the next round, but what is left after it is flatter"
    return Advice(topic="rank", choice=f"r = {findings.rank}, as it is", reason=told, settings={})


def rank_for(findings: Findings, share: float) -> int:
    """The smallest of the ranks looked at whose leading directions hold `share` of what the most of them hold."""
    whole = findings.leading[max(findings.leading)]
    return min(rank for rank, held in findings.leading.items() if held >= share * whole)


def sites_advice(findings: Findings, limits: Thresholds) -> Advice:
    """The fewest sites that have most of the energy, where these are few."""
    count = sites_for(findings, limits.sites)
    every = len(findings.sites)
    held = sum(site.share for site in findings.sites[:count])
    reason = f"{count} of {every} {plural('site', every)} {'has' if count == 1 else 'have'} {percent(held)} of the energy"
    if count <= limits.few_sites * every:
        return Advice(
            topic="sites",
            choice=f"the {count} with the largest gradient a round",
            reason=reason,
            settings={"boosting.top_sites": count},
        )
    return Advice(topic="sites", choice="all of them", reason=reason, settings={})


def sites_for(findings: Findings, share: float) -> int:
    """How many sites, the largest energies first, have `share` of it."""
    held = 0.0
    for count, site in enumerate(findings.sites, start=1):
        held += site.share
        if held >= share:
            return count
    return len(findings.sites)
