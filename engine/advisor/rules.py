"""What to choose, from what was found: pure functions of findings and thresholds, so that both can be held against outcomes."""

from __future__ import annotations

from .advice import Advice
from .basis_advice import basis_advice, choose_basis
from .capacity_advice import core_advice, rank_advice, sites_advice
from .findings import BasisFinding, Findings
from .formats import directions, percent
from .schedule_advice import keeps_cores, refits_advice, rounds_advice, sampler_advice
from .thresholds import DEFAULT, Thresholds


def recommend(findings: Findings, limits: Thresholds = DEFAULT) -> tuple[Advice, ...]:
    """All recommendations, the basis first; those on core, rank and rounds are for the basis that is recommended."""
    chosen = choose_basis(findings, limits)
    if chosen is None:
        return (
            basis_advice(findings, None, limits),
            sites_advice(findings, limits),
            refits_advice(findings, limits, shot=False),
            sampler_advice(findings, None, limits),
        )
    rounds = rounds_advice(findings, chosen, limits)
    shot = rounds.settings.get("rounds") == 1
    refit = keeps_cores(findings, limits)
    return (
        basis_advice(findings, chosen, limits),
        core_advice(findings, chosen, limits, refit=refit),
        rank_advice(findings, chosen, limits, refit=refit, shot=rounds.settings.get("adapter.rank")),
        sites_advice(findings, limits),
        rounds,
        refits_advice(findings, limits, shot=shot or findings.rounds == 1),
        sampler_advice(findings, chosen, limits, shot=shot),
    )


def cautions(findings: Findings, limits: Thresholds = DEFAULT) -> tuple[str, ...]:
    """What weakens every line: halves that disagree, an estimated total, nothing wrong any more, directions that are used up."""
    found = list[str]()
    if findings.agreement < limits.noisy:
        found.append(
            f"the gradients of two halves of the {findings.heard} examples have a cosine of {findings.agreement:.2f}: "
            "much of what is seen is noise; hear more, with --examples"
        )
    if findings.error > 0.05 * findings.energy:
        found.append(f"the gradient's energy is known to {percent(findings.error / findings.energy)} only")
    if not findings.failures:
        found.append(
            "no training example is wrong any more: what further rounds gain shows on validation alone (stop.patience ends a run that "
            "gains nothing there)"
        )
    chosen = choose_basis(findings, limits)
    if chosen is not None and (text := _across(findings, chosen, limits)):
        found.append(text)
    return tuple(found)


def _across(findings: Findings, chosen: BasisFinding, limits: Thresholds) -> str:
    """What lies across used and free directions, which neither new rounds that keep clear of the old nor refits can have."""
    if findings.used is None or chosen.project in {None, "none"}:
        return ""
    best = max(
        held for rank, held in findings.leading.items() if rank <= max(findings.rank, min(findings.leading))
    )
    free = chosen.first["square"].captured
    if best < limits.used_gain * (free + findings.used.captured):
        return ""
    return (
        f"{directions(findings.rank)} of the gradient's own would hold {percent(best)}, those clear of earlier rounds {percent(free)}, and "
        f"earlier rounds' own {percent(findings.used.captured)}; the rest lies across both, and only rounds that may share directions can "
        f'have it (basis.project = "none", worth a try at a smaller rate; it forgets more)'
    )
