"""Advice on the basis: by the held-out share of its next directions, where the studies found it predictive."""

from __future__ import annotations

from .advice import Advice
from .findings import BasisFinding, Findings
from .formats import directions, percent
from .studies import HELD_OUT, REWARDED_BASIS, YARDSTICKS
from .thresholds import Thresholds


def score(basis: BasisFinding) -> float:
    """The ranking score of a basis: the held-out share of its next round."""
    return basis.first["square"].held_out


def best_data_free(findings: Findings) -> BasisFinding | None:
    """The preferred data-free basis: the spec's, or else `rotate`.

    Their shares of one gradient do not predict later rounds (`HELD_OUT`), so none replaces another, except the yardsticks.
    """
    plain = [b for b in findings.bases if not b.data_driven and b.name not in YARDSTICKS]
    wanted = [b for b in plain if b.own] + [
        b for name in ("rotate", "random") for b in plain if b.name == name
    ]
    return next(iter([*wanted, *plain]), None)


def bases_worth_calibration(findings: Findings, limits: Thresholds) -> list[BasisFinding]:
    """Data-driven bases worth their passes: their held-out share exceeds chance and that of `best_data_free`."""
    bar = _bar(findings, limits)
    return [
        basis
        for basis in findings.bases
        if basis.data_driven
        and basis.name not in YARDSTICKS
        and score(basis) >= max(bar, limits.generalises * basis.first["square"].itself)
    ]


def _bar(findings: Findings, limits: Thresholds) -> float:
    plain = best_data_free(findings)
    return limits.data_driven_gain * max(findings.expected_random, score(plain) if plain else 0.0)


def choose_basis(findings: Findings, limits: Thresholds) -> BasisFinding | None:
    """A data-driven basis if it is worth its passes, else the spec's own; None if its directions are used up.

    During a run with rewards, no measurement favours another basis.
    """
    own, plain = findings.own, best_data_free(findings)
    worthwhile = [] if _keep_basis(findings) else bases_worth_calibration(findings, limits)
    if worthwhile:
        top = max(map(score, worthwhile))
        equals = [basis for basis in worthwhile if score(basis) >= (1 - limits.alike) * top]
        return min(equals, key=lambda basis: (not basis.own, basis.name))
    if own is None or own.name not in YARDSTICKS:
        return own  # no measurement favours another
    return plain


def _keep_basis(findings: Findings) -> bool:
    return findings.rewarded and findings.finished_rounds > 0


def basis_advice(findings: Findings, chosen: BasisFinding | None, limits: Thresholds) -> Advice:
    """Advice on the basis, with its shares on calibration and held-out examples."""
    if chosen is None:
        reason = f"there are no next {directions(findings.rank)} orthogonal to earlier rounds"
        plain = best_data_free(findings)
        reason += (
            f"; {plain.name} does not run out, but its next directions capture {percent(score(plain))}"
            if plain
            else ""
        )
        choice = f"{findings.own_basis} has no further directions"
        return Advice(topic="basis", choice=choice, reason=reason, settings={})
    if chosen in bases_worth_calibration(findings, limits) and not _keep_basis(findings):
        reason = _data_driven_reason(findings, chosen)
        reason += f"; {REWARDED_BASIS}" if findings.rewarded else ""
    else:
        reason = _data_free_reason(findings, chosen, limits)
    if findings.own_basis in YARDSTICKS and not chosen.own:
        reason += f"; {findings.own_basis} is not recommended: {YARDSTICKS[findings.own_basis]}"
    elif findings.own is None:
        reason += f"; {findings.own_basis} has no further directions"
    return Advice(
        topic="basis",
        choice=chosen.name,
        reason=reason,
        settings={} if chosen.own else {"basis.use": chosen.name},
    )


def _data_driven_reason(findings: Findings, chosen: BasisFinding) -> str:
    share, plain = chosen.first["square"], best_data_free(findings)
    against = [f"{plain.name} {percent(score(plain))}"] if plain and plain.name != "random" else []
    against += [f"random ones {percent(findings.expected_random)} on average"]
    return (
        f"{directions(findings.rank)} per site, calibrated on half of the examples, capture {percent(share.itself)} of that half's energy and "
        f"{percent(share.held_out)} of the other's; {', '.join(against)}"
    )


def _data_free_reason(findings: Findings, chosen: BasisFinding, limits: Thresholds) -> str:
    """Why no data-driven basis is advised, or none but the spec's own."""
    reason = f"its next {directions(findings.rank)} per site capture {percent(score(chosen))} of the gradient's energy"
    if chosen.data_driven:
        other = best_data_free(findings)
        reason += ", on held-out examples"
        reason += f" ({other.name} {percent(score(other))})" if other else ""
        return f"{reason}; no measurement favours another"
    best = max(
        (b for b in findings.bases if b.data_driven and b.name not in YARDSTICKS), key=score, default=None
    )
    if best is not None:
        share = best.first["square"]
        reason += (
            f"; {best.name}, which is data-driven, {percent(share.itself)} of its calibration half and {percent(share.held_out)} of the "
            "other"
        )
    if _keep_basis(findings):
        return f"{reason}; {REWARDED_BASIS}"
    if best is not None:
        enough = score(best) >= _bar(findings, limits)
        reason += (
            ", a small share of its calibration half"
            if enough
            else f", not {limits.data_driven_gain:g} times as much as {chosen.name} or as chance"
        )
    return f"{reason}; {REWARDED_BASIS if findings.rewarded else HELD_OUT}"
