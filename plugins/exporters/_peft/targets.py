"""Which modules an adapter is for, in words that PEFT cannot misread."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import accumulate

import attrs

from ....engine.contracts import Blueprint, Exportable

ENCODER = "model."
"""Where a classifier's blueprint has its encoder."""
HEAD = "head.weight"


@attrs.frozen(kw_only=True)
class Target:
    """A site that the adapter changes: `module` is its path in the model that PEFT wraps."""

    site: str
    module: str
    transposed: bool


def is_classifier(blueprint: Blueprint) -> bool:
    """Whether PEFT wraps the encoder alone, and the head lies beside."""
    return blueprint.architecture.startswith("classifier/")


def targets_of(ensemble: Exportable) -> tuple[Target, ...]:
    """The sites that some round changes, in the order in which the model has its modules; without a classifier's head."""
    changed = {site for round_ in ensemble.rounds for site in round_.updates}
    prefix = ENCODER if is_classifier(ensemble.source.blueprint) else ""
    return tuple(
        Target(
            site=info.name,
            module=info.name.removeprefix(prefix).removesuffix(".weight"),
            transposed=info.transposed,
        )
        for info in ensemble.source.blueprint.weights
        if info.name in changed and info.name.startswith(prefix)
    )


def target_modules(targets: Sequence[Target], blueprint: Blueprint) -> list[str] | str:
    """What PEFT's `target_modules` should be: the full paths, or a pattern where a list of them would hit another module.

    PEFT takes an entry of a list for the end of a path: `layers.0.fc` hits `encoder.layers.0.fc`, too.
    """
    wanted = [target.module for target in targets]
    prefix = ENCODER if is_classifier(blueprint) else ""
    names = [info.name.removeprefix(prefix) for info in blueprint.weights if info.name.startswith(prefix)]
    modules = {path for name in names for path in accumulate(name.split("."), "{}.{}".format)} - set(wanted)
    ends = tuple(f".{module}" for module in wanted)
    if any(module.endswith(ends) for module in modules):
        return "(?:" + "|".join(map(re.escape, wanted)) + ")"
    return wanted


def pattern(values: Mapping[str, int], common: int) -> dict[str, int]:
    """PEFT's `rank_pattern` for the modules whose value is not the common one; `^` keeps an entry from matching the end of a path."""
    return {f"^{re.escape(module)}": value for module, value in values.items() if value != common}
