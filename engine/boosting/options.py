"""Checks of the `[boosting]` options against adapter, optimiser and sites, and the notes of `boostlora check` on them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import attrs

from ..contracts import Site
from ..errors import UsageError
from ..foundation.counts import count_text
from ..spec import Spec
from ..spec.boosting_table import Boosting
from .parameter_counts import ByRank, parameters_in, projection_bytes
from .round_plan import has_option

NEED_FRAMES = ("top_sites", "refit_every")
"""Options that need an adapter whose cores lie in frames."""
LARGE = 1 << 30
"""Bytes of a refit's stacked projections above which a note is given."""


def check_boosting(spec: Spec) -> None:
    """Raises `UsageError` for the first option that does not work with the spec's adapter or optimiser."""
    options, adapter = spec.boosting, spec.slots["adapter"].use
    if not options.given:
        return
    enabled = [name for name in NEED_FRAMES if getattr(options, name) != getattr(Boosting(), name)]
    if enabled and not spec.adapter.framed:
        raise UsageError(
            f"{_given(spec, enabled[0])} needs an adapter that trains cores in frames, and adapter {adapter} does not; "
            f"{_without(*enabled)}, or use lora-xs, diagonal or tinylora"
        )
    if options.refit_every:
        _check_refit(spec)
    if options.ranks and not has_option(spec.adapter, "rank"):
        raise UsageError(
            f"{_given(spec, 'ranks')} sets the adapter's rank per round, and adapter {adapter} has no option rank; "
            f"{_without('ranks')}, or use an adapter with that option"
        )


def _check_refit(spec: Spec) -> None:
    known = sorted(field.name for field in attrs.fields(type(spec.optimizer)))
    for option, field in (("refit_steps", "steps"), ("refit_lr", "lr")):
        if getattr(spec.boosting, option) and field not in known:
            raise UsageError(
                f"{_given(spec, option)} sets the optimizer's {field} in refits, and optimizer {spec.slots['optimizer'].use} has no "
                f"option {field}, only: {', '.join(known)}; {_without(option)}, or use an optimizer with that option"
            )


def _given(spec: Spec, option: str) -> str:
    """An option and its value, as in the spec."""
    return f"boosting.{option} = {json.dumps(getattr(spec.boosting, option))}"


def _without(*options: str) -> str:
    """The command-line settings that switch options off."""
    off = {name: getattr(Boosting(), name) for name in options}
    settings = (f"--set boosting.{name}={[] if value == () else value}" for name, value in off.items())
    return f"switch it off ({' '.join(settings)})"


def boosting_notes(
    spec: Spec, sites: Sequence[Site], by_rank: ByRank, stacked: Mapping[int, int]
) -> Iterator[str]:
    """Notes on options that have no effect or cost much memory. `stacked`: number of rounds in the last refit, by rank."""
    options = spec.boosting
    if options.top_sites >= len(sites):
        yield f"boosting.top_sites = {options.top_sites} has no effect: it selects all {len(sites)} sites. Set it below {len(sites)}"
    if options.refit_every >= spec.rounds > 0:
        yield (
            f"boosting.refit_every = {options.refit_every} has no effect: the first refit would be round {options.refit_every + 1} of "
            f"{spec.rounds}. Set it below {spec.rounds}"
        )
    if len(options.ranks) > (fresh := options.fresh_in(spec.rounds)):
        yield (
            f"boosting.ranks lists {count_text(len(options.ranks), 'rank')}, and {fresh} of {count_text(spec.rounds, 'round')} "
            f"take{'s' * (fresh == 1)} new directions; the "
            "other ranks are not used"
        )
    size = projection_bytes(by_rank, stacked)
    if size > LARGE:
        yield (
            f"boosting.refit_every: the last refit trains {parameters_in(sites, by_rank, stacked):,} parameters, and their projections take "
            f"{size / 1e9:.1f} GB of memory. Lower rounds or adapter.rank to need less"
        )
