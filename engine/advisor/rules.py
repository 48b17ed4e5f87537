"""Recommendations as pure functions of findings and thresholds, so that they can be backtested."""

from __future__ import annotations

from .advice import Advice
from .basis_advice import basis_advice, choose_basis
from .capacity_advice import core_advice, rank_advice, sites_advice
from .findings import BasisFinding, Findings
from .formats import directions, percent
from .schedule_advice import keeps_cores, refits_advice, rounds_advice, sampler_advice
from .thresholds import DEFAULT, Thresholds


def recommend(findings: Findings, limits: Thresholds = DEFAULT) -> tuple[Advice, ...]:
    """All recommendations, the basis first; those on core, rank and rounds assume the recommended basis."""
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
    """Caveats of all advice: halves that disagree, an uncertain total, no failures, mixed directions."""
    found = list[str]()
    if findings.agreement < limits.noisy:
        found.append(
            f"the gradients of two halves of the {findings.calibration_examples} examples have a cosine of {findings.agreement:.2f}: "
            "the sample is noisy; use more examples, with --examples"
        )
    if findings.error > 0.05 * findings.energy:
        found.append(f"the gradient's energy is known to {percent(findings.error / findings.energy)} only")
    if not findings.failures:
        found.append(
            "no training example is wrong: only validation shows what further rounds gain (stop.patience ends a run that "
            "gains nothing there)"
        )
    chosen = choose_basis(findings, limits)
    if chosen is not None and (text := _mixed_directions(findings, chosen, limits)):
        found.append(text)
    return tuple(found)


def _mixed_directions(findings: Findings, chosen: BasisFinding, limits: Thresholds) -> str:
    """Energy between used and free directions, which neither orthogonal new rounds nor refits can capture."""
    if findings.used is None or chosen.project in {None, "none"}:
        return ""
    best = max(
        held for rank, held in findings.leading.items() if rank <= max(findings.rank, min(findings.leading))
    )
    free = chosen.first["square"].captured
    if best < limits.used_gain * (free + findings.used.captured):
        return ""
    return (
        f"{directions(findings.rank)} of the gradient's own would capture {percent(best)}, those orthogonal to earlier rounds {percent(free)}, and "
        f"earlier rounds' own {percent(findings.used.captured)}; only rounds that may share directions can capture "
        f'the rest (basis.project = "none", worth a try at a smaller rate; it loses more)'
    )
