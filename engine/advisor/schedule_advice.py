"""Advice on the schedule: number of rounds, refits and sampler."""

from __future__ import annotations

import math
from typing import Any

from .advice import Advice
from .capacity_advice import narrowest, shot_rank
from .findings import BasisFinding, Findings
from .formats import percent, plural
from .studies import ALL_DATA, FEW_EXAMPLES, REFITS, REFITS_REWARDED, REWARDED_ROUNDS, ROUNDS
from .thresholds import Thresholds


def rounds_advice(findings: Findings, chosen: BasisFinding, limits: Thresholds) -> Advice:
    """Many small rounds, or one with as many parameters: by the share of the current gradient, and by the studies."""
    if findings.finished_rounds:
        return _started_run(findings)
    if findings.rounds == 1:
        return Advice(
            topic="rounds", choice="one shot, as it is", reason="the spec has one round", settings={}
        )
    together, equal = chosen.together["square"].held_out, chosen.equal.held_out
    reason = (
        f"of the current gradient, {findings.rounds_ahead} {plural('round', findings.rounds_ahead)} of r = {findings.rank} capture "
        f"{percent(together)}, a single core of rank {chosen.equal_rank} with as many parameters {percent(equal)}"
    )
    if findings.rewarded:
        return _rewarded(findings, limits)
    if equal >= limits.one_shot_gain * together:
        return Advice(
            topic="rounds", choice="one shot", reason=reason, settings=_shot(findings, chosen, limits)
        )
    if chosen.data_driven:
        reason += f"; later rounds calibrate on the remaining gradient, which is not known yet: {ROUNDS}"
    choice = f"boosting, {findings.rounds} {plural('round', findings.rounds)}, as it is"
    return Advice(topic="rounds", choice=choice, reason=reason, settings={})


def _started_run(findings: Findings) -> Advice:
    """Advice for a run that has started."""
    words = f"{findings.finished_rounds} of {findings.rounds} {plural('round', findings.rounds)} are finished"
    choice = (
        f"continue, {findings.left} {plural('round', findings.left)} left"
        if findings.left
        else "all are finished"
    )
    return Advice(topic="rounds", choice=choice, reason=words, settings={})


def _shot(findings: Findings, chosen: BasisFinding, limits: Thresholds) -> dict[str, Any]:
    """One round with the parameters and steps of all rounds, so that the comparison is at equal cost."""
    settings: dict[str, Any] = {"rounds": 1, "adapter.rank": shot_rank(findings, chosen, limits)}
    if findings.steps is not None:
        settings["optimizer.steps"] = findings.rounds * findings.steps
    return settings


def _rewarded(findings: Findings, limits: Thresholds) -> Advice:
    """Few larger rounds, with the parameters and steps of all."""
    if findings.rounds <= limits.few_rounds:
        choice = f"boosting, {findings.rounds} {plural('round', findings.rounds)}, as it is"
        return Advice(topic="rounds", choice=choice, reason=REWARDED_ROUNDS, settings={})
    fewer = findings.rounds / limits.few_rounds
    rank = min(narrowest(findings), round(findings.rank * math.sqrt(fewer)))
    settings: dict[str, Any] = {"rounds": limits.few_rounds, "adapter.rank": rank}
    if findings.steps is not None:
        settings["optimizer.steps"] = round(findings.steps * fewer)
    choice = f"fewer and larger: {limits.few_rounds} of r = {rank}"
    return Advice(topic="rounds", choice=choice, reason=REWARDED_ROUNDS, settings=settings)


def refits_advice(findings: Findings, limits: Thresholds, *, shot: bool) -> Advice:
    """Refits: before the first round by the studies; later if used directions capture more than the next ones.

    A round can train new or old directions, so it should train those with more energy. Orthogonal matching pursuit, likewise,
    refits all coefficients after every atom.
    """
    every = findings.refit_every
    if not findings.framed or findings.rewarded or shot:
        reason = "there is no earlier round" if shot else REFITS_REWARDED
        if not findings.framed:
            reason = f"{findings.adapter} has no cores to refit"
        off = every > 0 and not findings.finished_rounds
        choice = "as they are" if every and findings.finished_rounds else "none"
        settings: dict[str, Any] = {"boosting.refit_every": 0} if off else {}
        return Advice(topic="refits", choice=choice, reason=reason, settings=settings)
    if findings.used is None:
        return _refits_ahead(findings, limits)
    reason = _used(findings)
    following = _next_refit(findings)
    if every and following <= findings.rounds:
        choice = (
            "the next round is one"
            if following == findings.number
            else f"round {following} is the next, as it is"
        )
        return Advice(topic="refits", choice=choice, reason=reason, settings={})
    if not wants_refit(findings, limits):
        again = "; the last round was one" if _just_refitted(findings) else ""
        return Advice(topic="refits", choice="none now", reason=reason + again, settings={})
    settings = {} if every else {"boosting.refit_every": findings.finished_rounds}
    settings |= {} if following <= findings.rounds else {"rounds": following}
    choice = f"train all earlier cores again in round {following}"
    return Advice(topic="refits", choice=choice, reason=f"{reason}; {REFITS}", settings=settings)


def wants_refit(findings: Findings, limits: Thresholds) -> bool:
    """Whether used directions capture more of the remaining gradient than the next ones."""
    used = findings.used
    if used is None or findings.rewarded or not findings.framed or _just_refitted(findings):
        return False
    return used.held_out >= limits.used_gain * _ahead(findings)


def _just_refitted(findings: Findings) -> bool:
    return findings.refit_every > 0 and findings.finished_rounds % (findings.refit_every + 1) == 0


def keeps_cores(findings: Findings, limits: Thresholds) -> bool:
    """Whether earlier cores will be refitted, by the spec or the advice, so that later cores must match them."""
    return findings.finished_rounds > 0 and (findings.refit_every > 0 or wants_refit(findings, limits))


def _ahead(findings: Findings) -> float:
    """The held-out share of the run's own next round; 0 if its directions are used up."""
    return findings.own.first["square"].held_out if findings.own else 0.0


def _next_refit(findings: Findings) -> int:
    """The next refit round; for a run without refits, the very next round."""
    period = findings.refit_every + 1
    return -(-findings.number // period) * period if findings.refit_every else findings.number


def _used(findings: Findings) -> str:
    used = findings.used
    assert used is not None
    ahead = (
        f"the next ones of {findings.own_basis} {percent(_ahead(findings))}"
        if findings.own
        else f"those of {findings.own_basis} are used up"
    )
    return (
        f"the directions of the rounds so far, with a core each, capture {percent(used.held_out)} of the remaining gradient, {ahead}; within "
        f"them the halves' gradients have a cosine of {used.agreement:.2f}"
    )


def _refits_ahead(findings: Findings, limits: Thresholds) -> Advice:
    """Before the first round, refits cannot be measured."""
    every = findings.refit_every
    unseen = "cannot be measured before the first round"
    if every and every >= findings.rounds:
        choice = f"none in {findings.rounds} {plural('round', findings.rounds)}"
        reason = f"the first would be round {every + 1}; {REFITS}"
        return Advice(topic="refits", choice=choice, reason=reason, settings={})
    if every:
        choice = f"after every {every} {plural('round', every)}, as it is"
        return Advice(topic="refits", choice=choice, reason=f"{unseen}; {REFITS}", settings={})
    if findings.rounds < limits.few_rounds:
        reason = f"{unseen}, and they were not tried in runs of so few rounds"
        return Advice(topic="refits", choice="none", reason=reason, settings={})
    every = 4 if findings.rounds >= limits.long_run else 2
    times = findings.rounds // every
    settings = {"rounds": findings.rounds + times, "boosting.refit_every": every}
    choice = f"after every {every} rounds, {times} in all"
    return Advice(topic="refits", choice=choice, reason=f"{unseen}; {REFITS}", settings=settings)


def sampler_advice(
    findings: Findings, chosen: BasisFinding | None, limits: Thresholds, *, shot: bool = False
) -> Advice:
    """Use the hardest or all examples if failures run out soon."""
    reason = f"{findings.failures:,} of {findings.train:,} training examples are wrong"
    choice = findings.sampler
    if shot:
        choice = "all"
        reason += "; a single round should use all examples, since no later round corrects its errors"
    elif findings.sampler == "hardest" and findings.train <= limits.few_examples:
        choice = "all"
        reason += f"; {FEW_EXAMPLES}"
    elif findings.sampler != "failures":
        pass
    elif findings.train <= findings.batch_size:
        choice = "all"
        reason += f"; all of them fit into a batch of {findings.batch_size}"
    elif findings.failures < max(limits.few_failures * findings.train, findings.batch_size / 2):
        choice = "all"
        reason += f", and a run ends when none is left; {ALL_DATA}"
    elif chosen is not None and chosen.data_driven and not findings.rewarded:
        choice = "all"
        reason += (
            f"; rounds in gradient directions use them up early, and a run ends when none is left; {ALL_DATA}"
        )
    settings = {} if choice == findings.sampler else {"sampler.use": choice}
    return Advice(topic="sampler", choice=choice, reason=reason, settings=settings)
