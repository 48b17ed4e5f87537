"""Target modules of an adapter, and names in PEFT's files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import accumulate

import attrs

from ....engine.contracts import Blueprint, Exportable

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
HEAD_FILE = "head.safetensors"
"""File of a classifier's head, next to the adapter of its encoder."""
PREFIX = "base_model.model."
"""Prefix of module paths in an adapter's file; `base_model.` alone for tensors outside modules."""
DEFAULT = "default"
"""PEFT's default adapter name."""
ENCODER = "model."
"""Prefix of the encoder in a classifier's blueprint."""
HEAD = "head.weight"


@attrs.frozen(kw_only=True)
class Target:
    """An adapted site; `module` is its path in the model that PEFT wraps."""

    site: str
    module: str
    transposed: bool


def is_classifier(blueprint: Blueprint) -> bool:
    """Whether PEFT wraps only the encoder, with a separate head."""
    return blueprint.architecture.startswith("classifier/")


def targets_of(ensemble: Exportable) -> tuple[Target, ...]:
    """The sites that some round changes, in model order, without a classifier's head."""
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
    """PEFT's `target_modules`: full paths, or a regular expression if a list would match other modules.

    PEFT matches list entries as suffixes: `layers.0.fc` also matches `encoder.layers.0.fc`.
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
    """PEFT's `rank_pattern` for the modules whose value is not the common one; `^` prevents a suffix match."""
    return {f"^{re.escape(module)}": value for module, value in values.items() if value != common}
