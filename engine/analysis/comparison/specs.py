"""What differs between the specs of two runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ASIDE = ("name", "description")
"""Keys that say nothing about what was run."""


def flat(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A spec's tree with dotted keys."""
    found = dict[str, Any]()
    for key, value in tree.items():
        found |= {f"{key}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {key: value}
    return found


def differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The values of the keys that both specs have and that differ: plugins first, then the others, in the order of the spec.

    A key that only one has is an option of a plugin that the other does not use, or of a later version.
    """
    one, two = flat(a), flat(b)
    found = {
        key: (one[key], two[key]) for key in one if key in two and one[key] != two[key] and key not in ASIDE
    }
    return dict(sorted(found.items(), key=lambda item: not item[0].endswith(".use")))
