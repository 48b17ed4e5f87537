"""Boosting's own options, held against the rest of the spec before any work."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import attrs

from ..contracts import Site
from ..errors import UsageError
from ..spec import Spec
from ..spec.boosting_table import Boosting
from .parameter_counts import ByRank, parameters_in, projection_bytes
from .round_plan import has_option

ABOUT_FRAMES = ("top_sites", "refit_every")
"""Options that need cores inside frames."""
LARGE = 1 << 30
"""Bytes of stacked projections that are worth a word."""


def check_boosting(spec: Spec) -> None:
    """Refuse options that cannot work with this adapter, objective or optimiser. Raises `UsageError` naming the first."""
    options, adapter = spec.boosting, spec.slots["adapter"].use
    if not options.given:
        return
    asked = [name for name in ABOUT_FRAMES if getattr(options, name) != getattr(Boosting(), name)]
    if asked and not spec.adapter.framed:
        raise UsageError(
            f"{_given(spec, asked[0])} is about cores inside frames, and adapter {adapter} has none; "
            f"{_without(*asked)}, or use an adapter with frames: lora-xs, diagonal or tinylora"
        )
    if options.refit_every:
        _check_refit(spec)
    if options.ranks and not has_option(spec.adapter, "rank"):
        raise UsageError(
            f"{_given(spec, 'ranks')} is the option rank of the adapter, round by round, and {adapter} has none; "
            f"{_without('ranks')}, or use an adapter that has it"
        )


def _check_refit(spec: Spec) -> None:
    known = sorted(field.name for field in attrs.fields(type(spec.optimizer)))
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
