"""Boosting's own options, held against the rest of the spec before any work."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from ..contracts import CalibrationSpec, LinearCore, Parametrisation, PolicyObjective, Site
from ..errors import UsageError
from ..spec import Spec
from ..spec.boosting_table import Boosting
from ..spec.ranks import Ranks
from .parameter_counts import ByRank, parameters_in, projection_bytes

SITE_EXAMPLES = 256
"""Examples by which sites are chosen, where the basis has heard none."""
ABOUT_FRAMES = ("first_step", "top_sites", "refit_every")
"""Options that need cores inside frames."""
LARGE = 1 << 30
"""Bytes of stacked projections that are worth a word."""


def optimizer_of(spec: Spec, number: int) -> Any:
    """The optimiser of round `number`: that of the spec; in a fully corrective round with the steps and the rate meant for it."""
    optimizer, options = spec["optimizer"], spec.boosting
    if not options.is_refit(number):
        return optimizer
    changes = {"steps": options.refit_steps, "lr": options.refit_lr}
    return attrs.evolve(optimizer, **{name: value for name, value in changes.items() if value})


def adapter_of(spec: Spec, number: int) -> Any:
    """The adapter of round `number`: that of the spec, with the rank meant for the round."""
    return with_rank(spec["adapter"], spec.rank_of(number))


def with_rank(adapter: Any, rank: int) -> Any:
    """An adapter at another rank; as it is where it has no such option, or the other took no directions."""
    if rank in {0, adapter.rank} or not has_option(adapter, "rank"):
        return adapter
    return attrs.evolve(adapter, rank=rank)


def with_ranks(spec: Spec, ranks: Ranks) -> Spec:
    """A spec whose rounds have other ranks."""
    adapter = attrs.evolve(spec.slots["adapter"], plugin=with_rank(spec["adapter"], ranks.usual))
    return attrs.evolve(
        spec,
        slots={**spec.slots, "adapter": adapter},
        boosting=attrs.evolve(spec.boosting, ranks=tuple(ranks.listed)),
        start=attrs.evolve(spec.start, ranks=tuple(ranks.inherited)),
    )


def has_option(plugin: Any, name: str) -> bool:
    """Whether a plugin has an option of this name."""
    return name in {field.name for field in attrs.fields(type(plugin))}


def is_data_driven(spec: Spec) -> bool:
    """Whether frames depend on data, and not on the weights alone."""
    return spec["adapter"].framed and spec["basis"].calibration(spec["adapter"].rank) is not None


def calibration_of(spec: Spec, rank: int) -> CalibrationSpec | None:
    """What is asked of the data at the start of a round of this rank; None: nothing."""
    if not spec["adapter"].framed:
        return None
    calibration, choosing = spec["basis"].calibration(rank), spec.boosting.top_sites > 0
    if calibration is not None:
        return attrs.evolve(calibration, passes=calibration.passes + choosing)
    if not choosing:
        return None
    return CalibrationSpec(source="chosen", examples=SITE_EXAMPLES, batches=1, passes=1, columns=rank)


def check_boosting(spec: Spec, parametrisations: Sequence[Parametrisation]) -> None:
    """Refuse options that cannot work with this adapter, objective or optimiser. Raises `UsageError` naming the first."""
    options, adapter = spec.boosting, spec.slots["adapter"].use
    if not options.given:
        return
    asked = [name for name in ABOUT_FRAMES if getattr(options, name) != getattr(Boosting(), name)]
    if asked and not spec["adapter"].framed:
        raise UsageError(
            f"{_given(spec, asked[0])} is about cores inside frames, and adapter {adapter} has none; "
            f"{_without(*asked)}, or use an adapter with frames: lora-xs, diagonal or tinylora"
        )
    if options.first_step != "none":
        _check_first_step(spec, parametrisations)
    if options.refit_every:
        _check_refit(spec)
    if options.ranks and not has_option(spec["adapter"], "rank"):
        raise UsageError(
            f"{_given(spec, 'ranks')} is the option rank of the adapter, round by round, and {adapter} has none; "
            f"{_without('ranks')}, or use an adapter that has it"
        )


def _check_first_step(spec: Spec, parametrisations: Sequence[Parametrisation]) -> None:
    if isinstance(spec["objective"], PolicyObjective):
        raise UsageError(
            f"{_given(spec, 'first_step')} searches along a loss of fixed examples, and objective {spec.slots['objective'].use} has "
            f"answers that change with the model; {_without('first_step')}, or use an objective of fixed examples: cross-entropy"
        )
    if "sgd" not in spec["backend"].rules:
        raise UsageError(
            f"{_given(spec, 'first_step')} needs the optimiser rule sgd, and backend {spec.slots['backend'].use} knows only: "
            f"{', '.join(sorted(spec['backend'].rules))}; {_without('first_step')}, or use a backend that knows it"
        )
    if any(isinstance(p, LinearCore) and p.init.any() for p in parametrisations):
        raise UsageError(
            f"{_given(spec, 'first_step')} starts at the model as it is, and adapter {spec.slots['adapter'].use} starts elsewhere; "
            f"{_without('first_step')}, or let its numbers start at zero (lora-xs: --set adapter.init_std=0)"
        )


def _check_refit(spec: Spec) -> None:
    known = sorted(field.name for field in attrs.fields(type(spec["optimizer"])))
    for option, field in (("refit_steps", "steps"), ("refit_lr", "lr")):
        if getattr(spec.boosting, option) and field not in known:
            raise UsageError(
                f"{_given(spec, option)} is to change the option {field} of the optimizer, and {spec.slots['optimizer'].use} has only: "
                f"{', '.join(known)}; {_without(option)}, or use an optimizer that has it"
            )


def _given(spec: Spec, option: str) -> str:
    """An option as the spec has it."""
    return f"boosting.{option} = {json.dumps(getattr(spec.boosting, option))}"


def _without(*options: str) -> str:
    """How options are switched off."""
    off = {name: getattr(Boosting(), name) for name in options}
    settings = (f"--set boosting.{name}={[] if value == () else value}" for name, value in off.items())
    return f"switch it off ({' '.join(settings)})"


def boosting_notes(
    spec: Spec, sites: Sequence[Site], by_rank: ByRank, stacked: Mapping[int, int]
) -> Iterator[str]:
    """What a user may not have meant; `stacked` are the rounds that the last refit trains again, by rank."""
    options = spec.boosting
    if options.top_sites >= len(sites):
        yield f"boosting.top_sites = {options.top_sites} leaves out none of {len(sites)} sites"
    if options.refit_every >= spec.rounds > 0:
        yield (
            f"boosting.refit_every = {options.refit_every}: the first refit would be round {options.refit_every + 1}, and there are "
            f"{spec.rounds} rounds"
        )
    if len(options.ranks) > (fresh := options.fresh_in(spec.rounds)):
        yield (
            f"boosting.ranks names {len(options.ranks)} rounds, and {fresh} of {spec.rounds} take new directions"
        )
    size = projection_bytes(by_rank, stacked)
    if size > LARGE:
        yield (
            f"boosting.refit_every: the last refit trains {parameters_in(sites, by_rank, stacked):,} numbers, whose projections take "
            f"{size / 1e9:.1f} GB"
        )
