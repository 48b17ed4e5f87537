"""Which basis to take: what its next directions hold of examples that they have not heard, where the studies say that this counts."""

from __future__ import annotations

from .advice import Advice
from .findings import BasisFinding, Findings
from .formats import directions, percent
from .studies import HELD_OUT, REWARDED_BASIS, YARDSTICKS
from .thresholds import Thresholds


def score(basis: BasisFinding) -> float:
    """By which bases are ranked: what the next round holds of examples that it did not hear."""
    return basis.first["square"].held_out


def plain_of(findings: Findings) -> BasisFinding | None:
    """The basis to take of those that hear nothing: the spec's, or else `rotate`.

    What they hold of one gradient does not rank them, since it says nothing of the rounds to come (`HELD_OUT`), so none is exchanged for
    another, but for those that are yardsticks.
    """
    plain = [b for b in findings.bases if not b.data_driven and b.name not in YARDSTICKS]
    wanted = [b for b in plain if b.own] + [
        b for name in ("rotate", "random") for b in plain if b.name == name
    ]
    return next(iter([*wanted, *plain]), None)


def worthy_of(findings: Findings, limits: Thresholds) -> list[BasisFinding]:
    """Bases that hear the data and are worth their passes: of what they have not heard they hold more than chance, and than `plain_of`."""
    bar = _bar(findings, limits)
    return [
        basis
        for basis in findings.bases
        if basis.data_driven
        and basis.name not in YARDSTICKS
        and score(basis) >= max(bar, limits.generalises * basis.first["square"].itself)
    ]


def _bar(findings: Findings, limits: Thresholds) -> float:
    plain = plain_of(findings)
    return limits.data_driven_gain * max(findings.expected_random, score(plain) if plain else 0.0)


def choose_basis(findings: Findings, limits: Thresholds) -> BasisFinding | None:
    """One that hears the data, where that is worth its passes; else the spec's own. None where its directions are used up.

    In the midst of a run that learns from rewards nothing that was measured speaks for another basis.
    """
    own, plain = findings.own, plain_of(findings)
    worthy = [] if _settled(findings) else worthy_of(findings, limits)
    if worthy:
        top = max(map(score, worthy))
        equals = [basis for basis in worthy if score(basis) >= (1 - limits.alike) * top]
        return min(equals, key=lambda basis: (not basis.own, basis.name))
    if own is None or own.name not in YARDSTICKS:
        return own  # nothing that was measured speaks for another
    return plain


def _settled(findings: Findings) -> bool:
    return findings.rewarded and findings.played > 0


def basis_advice(findings: Findings, chosen: BasisFinding | None, limits: Thresholds) -> Advice:
    """The basis, with what it holds of examples that it heard and that it did not."""
    if chosen is None:
        reason = f"no next {directions(findings.rank)} can be had that are clear of earlier rounds"
        plain = plain_of(findings)
        reason += (
            f"; {plain.name} does not run out, but its next hold {percent(score(plain))}" if plain else ""
        )
        choice = f"{findings.own_basis} has no further directions to give"
        return Advice(topic="basis", choice=choice, reason=reason, settings={})
    if chosen in worthy_of(findings, limits) and not _settled(findings):
        reason = _heard(findings, chosen)
        reason += f"; {REWARDED_BASIS}" if findings.rewarded else ""
    else:
        reason = _unheard(findings, chosen, limits)
    if findings.own_basis in YARDSTICKS and not chosen.own:
        reason += f"; {findings.own_basis} is no basis to stay with: {YARDSTICKS[findings.own_basis]}"
    elif findings.own is None:
        reason += f"; {findings.own_basis} has no further directions to give"
    return Advice(
        topic="basis",
        choice=chosen.name,
        reason=reason,
        settings={} if chosen.own else {"basis.use": chosen.name},
    )


def _heard(findings: Findings, chosen: BasisFinding) -> str:
    share, plain = chosen.first["square"], plain_of(findings)
    against = [f"{plain.name} {percent(score(plain))}"] if plain and plain.name != "random" else []
    against += [f"random ones {percent(findings.expected_random)} on average"]
    return (
        f"{directions(findings.rank)} a site that heard half of the examples hold {percent(share.itself)} of that half's energy and "
        f"{percent(share.held_out)} of the other's; {', '.join(against)}"
    )


def _unheard(findings: Findings, chosen: BasisFinding, limits: Thresholds) -> str:
    """Why nothing that hears the data is advised, or no other than the spec's own."""
    reason = (
        f"its next {directions(findings.rank)} a site hold {percent(score(chosen))} of the gradient's energy"
    )
    if chosen.data_driven:
        other = plain_of(findings)
        reason += ", on examples that they have not heard"
        reason += f" ({other.name} {percent(score(other))})" if other else ""
        return f"{reason}; nothing that was measured speaks for another"
    best = max(
        (b for b in findings.bases if b.data_driven and b.name not in YARDSTICKS), key=score, default=None
    )
    if best is not None:
        share = best.first["square"]
        reason += (
            f"; {best.name}, which hears the data, {percent(share.itself)} of the half that it heard and {percent(share.held_out)} of the "
            "other"
        )
    if _settled(findings):
        return f"{reason}; {REWARDED_BASIS}"
    if best is not None:
        enough = score(best) >= _bar(findings, limits)
        reason += (
            ", too small a share of what it heard"
            if enough
            else f", not {limits.data_driven_gain:g} times as much as {chosen.name} or as chance"
        )
    return f"{reason}; {REWARDED_BASIS if findings.rewarded else HELD_OUT}"
