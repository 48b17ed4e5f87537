"""Which weights of a model are adapted: patterns over parameter paths."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

import attrs

from ..contracts import Blueprint, Site, WeightInfo
from ..errors import UsageError
from ..foundation.options import option

ALL_LINEAR = "all-linear"
MOST_NAMES = 12
"""Up to this many weights, a message lists each; beyond, only patterns."""


@attrs.frozen(kw_only=True)
class SiteChoice:
    """The `[sites]` table: `fnmatch` patterns, matched against a parameter path with and without its `.weight`."""

    targets: tuple[str, ...] | str = option(
        ALL_LINEAR, 'patterns of parameter paths, or "all-linear": every linear weight but the output head'
    )
    exclude: tuple[str, ...] | str = option((), "patterns of parameter paths to leave out")
    layers: tuple[int, ...] = option((), "only these layers, counting from 0; empty: all")


def _patterns(given: Sequence[str] | str) -> Sequence[str]:
    return (given,) if isinstance(given, str) else given


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, p) or fnmatchcase(name.removesuffix(".weight"), p) for p in patterns)


def _matrices(blueprint: Blueprint) -> list[WeightInfo]:
    return [w for w in blueprint.weights if w.role in {"linear", "head"} and len(w.shape) == 2]


def layer_pattern(name: str) -> str:
    """A weight's path without its `.weight` and with `*` for every number, which is the same in all layers."""
    return re.sub(r"(?<=\.)\d+(?=\.|$)", "*", name.removesuffix(".weight"))


def _no_match(pattern: str, available: Sequence[WeightInfo], key: str) -> UsageError:
    names = [w.name.removesuffix(".weight") for w in available]
    kinds = Counter(names if len(names) <= MOST_NAMES else map(layer_pattern, names))
    shown = ", ".join(f"{name} ({count})" if count > 1 else name for name, count in kinds.items())
    own = {name.rpartition(".")[2]: name for name in [*names, *kinds]}
    close = get_close_matches(pattern, [*names, *(w.name for w in available)], n=1)
    if not close and (last := get_close_matches(pattern.rpartition(".")[2], own, n=1)):
        close = [f"*.{last[0]}"]
    hint = f'; did you mean "{close[0]}"?' if close else ""
    return UsageError(
        f'sites.{key}: the pattern "{pattern}" matches no linear weight. There are: {shown}{hint}'
    )


def choose_sites(choice: SiteChoice, blueprint: Blueprint) -> tuple[Site, ...]:
    """The sites of a model, in the order of its weights.

    Raises `UsageError` for a pattern or a layer that matches nothing, listing the available ones.
    """
    available = _matrices(blueprint)
    targets, exclude = _patterns(choice.targets), _patterns(choice.exclude)
    for key, patterns in (("targets", targets), ("exclude", exclude)):
        for pattern in patterns:
            if pattern != ALL_LINEAR and not any(_matches(w.name, [pattern]) for w in available):
                raise _no_match(pattern, available, key)
    layers = {w.layer for w in available}
    missing = [layer for layer in choice.layers if layer not in layers]
    if missing:
        known = sorted(d for d in layers if d is not None)
        raise UsageError(f"sites.layers: no layer {missing[0]}; there are {known}")
    chosen = [
        w
        for w in available
        if (_matches(w.name, targets) or (ALL_LINEAR in targets and w.role == "linear"))
        and not _matches(w.name, exclude)
        and (not choice.layers or w.layer in choice.layers)
    ]
    if not chosen:
        raise UsageError("sites: nothing is left to adapt after targets, exclude and layers were applied")
    return tuple(Site(name=w.name, shape=w.matrix, layer=w.layer) for w in chosen)
