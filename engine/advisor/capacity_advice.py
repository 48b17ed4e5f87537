"""Advice on the capacity of a round: core, rank and sites."""

from __future__ import annotations

import math
from typing import Any

from .advice import Advice
from .findings import BasisFinding, Findings
from .formats import percent, plural
from .studies import WHOLE_CORE
from .thresholds import Thresholds

REFIT_REASON = "a refit requires earlier cores of the spec's own kind and rank"
"""Why a run with refits keeps its core and rank."""


def core_advice(findings: Findings, chosen: BasisFinding, limits: Thresholds, *, refit: bool) -> Advice:
    """A full r x r core, unless the spec's core captures nearly as much with fewer parameters, or is refitted."""
    wanted, share = _core(findings, chosen, limits), _shares(chosen)
    reason = f"in {chosen.name} frames a diagonal core captures {percent(share['diagonal'])} of what a full r x r core captures"
    if findings.framed and findings.adapter not in {"diagonal", "lora-xs"}:
        reason += f", the spec's {findings.adapter} {percent(share['adapter'])}"
    if wanted != findings.adapter and refit:
        reason += f"; {wanted} is for a new run: {REFIT_REASON}"
        return Advice(topic="core", choice=f"{findings.adapter}, as it is", reason=reason, settings={})
    if not findings.framed:
        reason += (
            f"; {findings.adapter} needs no frame and trains many more parameters, and ended level or above in the studies; if they must "
            "be few, use a core"
        )
    elif share["diagonal"] >= limits.diagonal:
        reason += f"; {WHOLE_CORE}"
    numbers = {
        "diagonal": f", {findings.rank} parameters per site",
        "lora-xs": f", {findings.rank**2} parameters per site",
    }
    settings: dict[str, Any] = {} if findings.adapter == wanted else {"adapter.use": wanted}
    if not findings.framed:
        settings |= {"adapter.rank": findings.rank}
    return Advice(topic="core", choice=wanted + numbers.get(wanted, ""), reason=reason, settings=settings)


def shot_rank(findings: Findings, chosen: BasisFinding, limits: Thresholds) -> int:
    """The rank at which one round trains as many parameters as all rounds, limited by the narrowest site."""
    times = findings.fresh if _core(findings, chosen, limits) == "diagonal" else math.sqrt(findings.fresh)
    return min(narrowest(findings), int(findings.rank * times))


def narrowest(findings: Findings) -> int:
    """Width of the narrowest site."""
    return min(min(site.shape) for site in findings.sites)


def _core(findings: Findings, chosen: BasisFinding, limits: Thresholds) -> str:
    """The spec's adapter if its core captures enough, else the full core."""
    share = _shares(chosen)
    if findings.adapter == "diagonal":
        return "diagonal" if share["diagonal"] >= limits.diagonal else "lora-xs"
    return findings.adapter if findings.framed and share["adapter"] >= limits.own_core else "lora-xs"


def _shares(chosen: BasisFinding) -> dict[str, float]:
    """Shares relative to the full core."""
    square = chosen.first["square"].held_out
    held = {core: share.held_out / square if square else 0.0 for core, share in chosen.first.items()}
    return {"adapter": 0.0, **held}


def rank_advice(
    findings: Findings, chosen: BasisFinding, limits: Thresholds, *, refit: bool, shot: int | None
) -> Advice:
    """The smallest rank whose leading directions capture enough; a larger rank of the spec stays, since later spectra are flatter.

    `shot` is the rank of an advised single round, if any.
    """
    if shot is not None:
        return Advice(topic="rank", choice=f"r = {shot}", reason="see rounds", settings={})
    half, most = (rank_for(findings, share) for share in (limits.enough, limits.sites))
    words = f"{100 * limits.sites:g} % of the energy of the leading {max(findings.leading)} directions of the gradient is in the first {most}"
    reason = words if half == most else f"{words}, half in the first {half}"
    if not chosen.data_driven:
        return Advice(
            topic="rank",
            choice=f"r = {findings.rank}, as it is",
            reason=f"{reason}; but {chosen.name} does not follow them",
            settings={},
        )
    if half > findings.rank and not refit:
        return Advice(topic="rank", choice=f"r = {half}", reason=reason, settings={"adapter.rank": half})
    if half > findings.rank:
        reason += f"; {REFIT_REASON}"
    elif half < findings.rank:
        reason += "; fewer suffice for the next round, but the remaining spectrum is flatter"
    return Advice(topic="rank", choice=f"r = {findings.rank}, as it is", reason=reason, settings={})


def rank_for(findings: Findings, share: float) -> int:
    """The smallest measured rank whose leading directions hold `share` of the energy at the largest measured rank."""
    whole = findings.leading[max(findings.leading)]
    return min(rank for rank, held in findings.leading.items() if held >= share * whole)


def sites_advice(findings: Findings, limits: Thresholds) -> Advice:
    """The smallest set of sites with most of the energy, if it is small."""
    count = sites_for(findings, limits.sites)
    every = len(findings.sites)
    held = sum(site.share for site in findings.sites[:count])
    reason = f"{count} of {every} {plural('site', every)} {'has' if count == 1 else 'have'} {percent(held)} of the energy"
    if count <= limits.few_sites * every:
        return Advice(
            topic="sites",
            choice=f"the {count} with the largest gradient in each round",
            reason=reason,
            settings={"boosting.top_sites": count},
        )
    return Advice(topic="sites", choice="all of them", reason=reason, settings={})


def sites_for(findings: Findings, share: float) -> int:
    """The number of sites, by descending energy, that hold `share` of it."""
    held = 0.0
    for count, site in enumerate(findings.sites, start=1):
        held += site.share
        if held >= share:
            return count
    return len(findings.sites)
