"""What to choose, from what was found: pure functions of findings and thresholds, so that both can be held against outcomes."""

from __future__ import annotations

from typing import Any, Literal

import attrs

from .findings import BasisFinding, Core, Findings
from .thresholds import DEFAULT, Thresholds
from .wording import directions, percent, plural

Topic = Literal["basis", "core", "rank", "sites", "rounds", "sampler"]


@attrs.frozen(kw_only=True)
class Advice:
    """One recommendation."""

    topic: Topic
    choice: str
    """In words: `gradient`, `diagonal`, `all sites`, …"""
    reason: str
    """The numbers behind it."""
    settings: dict[str, Any]
    """Keys of the spec with the values to put there; empty where the spec is right as it is."""


MEASURED = (
    "where the objective learns from rewards, gradient frames and many small rounds have shown no advantage in this project's "
    "measurements, and one round with the same numbers in all was ahead"
)


def recommend(findings: Findings, limits: Thresholds = DEFAULT) -> tuple[Advice, ...]:
    """All recommendations, the basis first; those on core and rounds are for the basis that is recommended."""
    if not findings.bases:
        return (sites_advice(findings, limits), sampler_advice(findings, None, limits))
    chosen = choose_basis(findings, limits)
    return (
        basis_advice(findings, chosen, limits),
        core_advice(findings, chosen, limits),
        rank_advice(findings, chosen, limits),
        sites_advice(findings, limits),
        rounds_advice(findings, chosen, limits),
        sampler_advice(findings, chosen, limits),
    )


def score(basis: BasisFinding, core: Core = "square") -> float:
    """By which bases are ranked: what the next round holds of examples that it did not hear."""
    return basis.first[core].held_out


def choose_basis(findings: Findings, limits: Thresholds = DEFAULT) -> BasisFinding:
    """One that hears the data, where it is worth its passes and learns no noise; else the best of the others."""
    plain = [basis for basis in findings.bases if not basis.informed]
    informed = [basis for basis in findings.bases if basis.informed]
    best = _best(plain, limits) if plain else None
    own = next((basis for basis in plain if basis.own), None)
    if (
        own is not None
        and best is not None
        and score(best) < max(limits.worth, limits.plain_gain * score(own))
    ):
        best = own
    if findings.rewarded and best is not None:
        return best
    bar = max(findings.expected_random, score(best) if best else 0.0)
    worthy = [
        basis
        for basis in informed
        if score(basis) >= limits.informed_gain * bar
        and score(basis) >= limits.generalises * basis.first["square"].itself
    ]
    if worthy or best is None:
        return _best(worthy or informed, limits)
    return best


def _best(bases: list[BasisFinding], limits: Thresholds) -> BasisFinding:
    top = max(score(basis) for basis in bases)
    equals = [basis for basis in bases if score(basis) >= (1 - limits.alike) * top]
    return min(equals, key=lambda basis: (not basis.own, basis.name))


def basis_advice(findings: Findings, chosen: BasisFinding, limits: Thresholds) -> Advice:
    """The basis, with what it holds of examples that it heard and that it did not."""
    share = chosen.first["square"]
    reason = (
        f"its next {directions(findings.rank)} a site hold {percent(share.held_out)} of the gradient's energy"
    )
    if chosen.informed:
        plain = max((b for b in findings.bases if not b.informed), key=score, default=None)
        against = f"{plain.name} {percent(score(plain))}, " if plain else ""
        reason = (
            f"{directions(findings.rank)} a site that heard half of the examples hold {percent(share.itself)} of that half's energy and "
            f"{percent(share.held_out)} of the other's; {against}random ones {percent(findings.expected_random)} on average"
        )
    else:
        heard = max((b for b in findings.bases if b.informed), key=score, default=None)
        if heard is not None:
            found = heard.first["square"]
            reason += (
                f"; {heard.name}, which hears the data, {percent(found.itself)} of the half that it heard and "
                f"{percent(found.held_out)} of the other"
            )
        reason += f"; {MEASURED}" if findings.rewarded else ""
    return Advice(
        topic="basis",
        choice=chosen.name,
        reason=reason,
        settings={} if chosen.own else {"basis.use": chosen.name},
    )


def core_advice(findings: Findings, chosen: BasisFinding, limits: Thresholds) -> Advice:
    """A number a direction, where these hold most of what the whole core holds; else the spec's core, if it does, or the whole."""
    square = chosen.first["square"].held_out
    held = chosen.first["diagonal"].held_out / square if square else 0.0
    own = chosen.first["adapter"].held_out / square if square and "adapter" in chosen.first else 0.0
    wanted = "diagonal" if held >= limits.diagonal else "lora-xs"
    reason = f"in {chosen.name} frames a diagonal core holds {percent(held)} of what all r x r numbers hold"
    if findings.framed and findings.adapter not in {"diagonal", "lora-xs"}:
        reason += f", the spec's {findings.adapter} {percent(own)}"
        if wanted != "diagonal" and own >= limits.own_core:
            wanted = findings.adapter
    numbers = {
        "diagonal": f", {findings.rank} numbers a site",
        "lora-xs": f", {findings.rank**2} numbers a site",
    }
    settings: dict[str, Any] = {} if findings.adapter == wanted else {"adapter.use": wanted}
    if not findings.framed:
        settings |= {"adapter.rank": findings.rank}
    return Advice(topic="core", choice=wanted + numbers.get(wanted, ""), reason=reason, settings=settings)


def rank_advice(findings: Findings, chosen: BasisFinding, limits: Thresholds) -> Advice:
    """The smallest rank whose leading directions hold enough; a spec's larger one stays, since later gradients are flatter."""
    half, most = (rank_for(findings, share) for share in (limits.enough, limits.sites))
    told = f"half of what {max(findings.leading)} directions hold takes r = {half}, {100 * limits.sites:g} % takes r = {most}"
    if not chosen.informed:
        told += f" (of the gradient's own directions, which {chosen.name} does not follow)"
    if half > findings.rank and chosen.informed:
        return Advice(topic="rank", choice=f"r = {half}", reason=told, settings={"adapter.rank": half})
    kept = f"r = {findings.rank} as it is"
    if half < findings.rank and chosen.informed:
        told += "; fewer would do for the next round, but what is left after it is flatter"
    return Advice(topic="rank", choice=kept, reason=told, settings={})


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


def rounds_advice(findings: Findings, chosen: BasisFinding, limits: Thresholds) -> Advice:
    """Many small rounds, or one with as many numbers: by what each could hold of the gradient as it is now."""
    together, equal = chosen.together["square"].held_out, chosen.equal.held_out
    shot = {"rounds": 1, "adapter.rank": chosen.equal_rank}
    told = (
        f"of the gradient as it is now, {findings.looked} {plural('round', findings.looked)} of r = {findings.rank} hold "
        f"{percent(together)}, a single core of rank {chosen.equal_rank} with as many numbers {percent(equal)}"
    )
    if findings.looked == 1:
        return Advice(topic="rounds", choice="one round, as it is", reason="there is one left", settings={})
    if findings.rewarded:
        return Advice(topic="rounds", choice="one shot", reason=f"{told}; {MEASURED}", settings=shot)
    if equal >= limits.one_shot_gain * together:
        return Advice(topic="rounds", choice="one shot", reason=told, settings=shot)
    if chosen.informed:
        told += "; later rounds hear the gradient that is left, which this look cannot see"
    return Advice(topic="rounds", choice=f"boosting, {findings.rounds} rounds", reason=told, settings={})


def sampler_advice(findings: Findings, chosen: BasisFinding | None, limits: Thresholds) -> Advice:
    """Go on with what is hardest, or with everything, where failures are soon used up."""
    reason, choice = (
        f"{findings.failures:,} of {findings.train:,} training examples are wrong",
        findings.sampler,
    )
    if findings.sampler != "failures":
        pass
    elif findings.train <= findings.batch_size:
        reason += f"; all of them fit into a batch of {findings.batch_size}"
        choice = "all"
    elif findings.failures < max(limits.few_failures * findings.train, findings.batch_size / 2):
        reason += ", and a run ends when none is; the hardest go on"
        choice = "hardest"
    elif chosen is not None and chosen.informed and findings.rounds > 1:
        reason += "; rounds that follow the gradient use them up early, and a run ends when none is left; the hardest go on"
        choice = "hardest"
    settings = {} if choice == findings.sampler else {"sampler.use": choice}
    return Advice(topic="sampler", choice=choice, reason=reason, settings=settings)


def cautions(findings: Findings, limits: Thresholds = DEFAULT) -> tuple[str, ...]:
    """What weakens every line: halves that disagree, an estimated total, directions that are used up."""
    found = list[str]()
    if findings.agreement < limits.noisy:
        found.append(
            f"the gradients of two halves of the {findings.heard} examples have a cosine of {findings.agreement:.2f}: "
            "much of what is seen is noise; hear more, with --examples"
        )
    if findings.error > 0.05 * findings.energy:
        found.append(f"the gradient's energy is known to {percent(findings.error / findings.energy)} only")
    ahead = max((basis.together["square"].held_out for basis in findings.bases), default=0.0)
    if findings.used is not None and findings.used >= limits.used_gain * ahead:
        found.append(
            f"the directions of the rounds so far hold {percent(findings.used)} of what is left to learn, those of further rounds "
            f"{percent(ahead)} at most: bases that keep clear of earlier rounds cannot have it; rounds that train earlier cores "
            "again can (boosting.refit_every)"
        )
    return tuple(found)
