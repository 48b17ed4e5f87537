"""Boosting's own options, held against the rest of the spec before any work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from ..contracts import InformedBasis, LinearCore, Parametrisation, PolicyObjective, Question, Site
from ..errors import UsageError
from ..spec import Spec

SITES_HEARD = 256
"""Examples by which sites are chosen, where the basis has heard none."""
LARGE = 1 << 30
"""Bytes of stacked projections that are worth a word."""


def optimizer_of(spec: Spec, number: int) -> Any:
    """The optimiser of round `number`: that of the spec; in a fully corrective round with the steps and the rate meant for it."""
    optimizer, options = spec["optimizer"], spec.boosting
    if not options.is_refit(number):
        return optimizer
    changes = {"steps": options.refit_steps, "lr": options.refit_lr}
    return attrs.evolve(optimizer, **{name: value for name, value in changes.items() if value})


def question_of(spec: Spec) -> Question | None:
    """What is asked of the data at the start of a round; None: nothing."""
    if not spec["adapter"].framed:
        return None
    basis, rank, choosing = spec["basis"], spec["adapter"].rank, spec.boosting.top_sites > 0
    if isinstance(basis, InformedBasis):
        question = basis.question(rank)
        return attrs.evolve(question, passes=question.passes + choosing)
    if not choosing:
        return None
    return Question(told="chosen", examples=SITES_HEARD, batches=1, passes=1, columns=rank)


def check_boosting(spec: Spec, parametrisations: Sequence[Parametrisation]) -> None:
    """Refuse options that cannot work with this adapter, objective or optimiser. Raises `UsageError` naming the first."""
    options, adapter = spec.boosting, spec.slots["adapter"].use
    if not options.given:
        return
    wanting = {
        "first_step": options.first_step != "none",
        "top_sites": options.top_sites > 0,
        "refit_every": options.refit_every > 0,
    }
    asked = [f"boosting.{name}" for name, on in wanting.items() if on]
    if asked and not spec["adapter"].framed:
        raise UsageError(
            f"{asked[0]} is about cores inside frames, and adapter {adapter} has none; use lora-xs, diagonal or tinylora, or leave it out"
        )
    if options.first_step != "none":
        _check_first_step(spec, parametrisations)
    if options.refit_every:
        _check_refit(spec)


def _check_first_step(spec: Spec, parametrisations: Sequence[Parametrisation]) -> None:
    if isinstance(spec["objective"], PolicyObjective):
        raise UsageError(
            f"boosting.first_step searches along a loss of fixed examples, and objective {spec.slots['objective'].use} has answers that "
            'change with the model; leave it at "none"'
        )
    if "sgd" not in spec["backend"].rules:
        raise UsageError(
            f"boosting.first_step needs the rule sgd, which backend {spec.slots['backend'].use} does not know"
        )
    if any(isinstance(p, LinearCore) and p.init.any() for p in parametrisations):
        raise UsageError(
            f"boosting.first_step starts at the model as it is, and adapter {spec.slots['adapter'].use} starts elsewhere"
        )


def _check_refit(spec: Spec) -> None:
    fields = {field.name for field in attrs.fields(type(spec["optimizer"]))}
    for option, field in (("refit_steps", "steps"), ("refit_lr", "lr")):
        if getattr(spec.boosting, option) and field not in fields:
            raise UsageError(
                f"boosting.{option}: optimizer {spec.slots['optimizer'].use} has no option {field} to be set; leave it at 0"
            )


def boosting_notes(
    spec: Spec, sites: Sequence[Site], parametrisations: Sequence[Parametrisation]
) -> Iterator[str]:
    """What a user may not have meant."""
    options = spec.boosting
    if options.top_sites >= len(sites):
        yield f"boosting.top_sites = {options.top_sites} leaves out none of {len(sites)} sites"
    if options.refit_every >= spec.rounds > 0:
        yield (
            f"boosting.refit_every = {options.refit_every}: the first refit would be round {options.refit_every + 1}, and there are "
            f"{spec.rounds} rounds"
        )
    rounds = options.fresh_in(spec.rounds)
    cores = [p for p in parametrisations if isinstance(p, LinearCore)]
    size = sum(8 * rounds * p.init.size * (rounds * p.rank) ** 2 for p in cores)
    if options.refit_every and size > LARGE:
        yield (
            f"boosting.refit_every: the last refit trains {sum(rounds * p.init.size for p in cores):,} numbers, whose projections take "
            f"{size / 1e9:.1f} GB"
        )
