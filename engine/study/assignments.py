"""Values for dotted keys of a spec, with their source positions for faults."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from ..registry import KINDS, Registry
from ..spec.document import Document, overlay
from ..spec.resolve import TABLES
from ..spec.spans import Location, Path
from ..spec.spec import Head
from .record import setting_text

MISSING = object()
"""Marks a key that a spec does not have."""


@attrs.frozen
class Assignment:
    """`basis.use = "rotate"`, …: what an arm, a block or a tuning sets."""

    values: Mapping[str, Any] = attrs.field(factory=dict)
    places: Mapping[str, Path] = attrs.field(factory=dict)

    def adding(self, key: str, value: Any, place: Path) -> Assignment:
        """A copy with one more key; a table sets each of its keys."""
        found = {key: (value, place)} if not isinstance(value, dict) else {}
        if isinstance(value, dict):
            found = {f"{key}.{inner}": (v, where) for inner, v, where in leaves(value, place)}
        values = {**self.values, **{k: v for k, (v, _) in found.items()}}
        return Assignment(values, {**self.places, **{k: p for k, (_, p) in found.items()}})

    @classmethod
    def joined(cls, parts: Iterable[Assignment]) -> Assignment:
        """Merge assignments; later ones win."""
        found = cls()
        for part in parts:
            found = cls({**found.values, **part.values}, {**found.places, **part.places})
        return found

    def applied(self, document: Document) -> Document:
        """The document with these values."""
        tree, marks = dict[str, Any](), dict[Path, Location]()
        for key, value in self.values.items():
            parts = tuple(key.split("."))
            written, below = document.location(self.places[key]), tree
            for length in range(1, len(parts) + 1):
                marks[parts[:length]] = written
            marks |= _inner_marks(value, parts, self.places[key], document)
            for part in parts[:-1]:
                if not isinstance(below.get(part), dict):
                    below[part] = {}
                below = below[part]
            below[parts[-1]] = value
        return overlay(document, Document(tree, marks, document.source))

    def label(self, keys: Sequence[str] | None = None) -> str:
        """A display name: a plugin by its name, other values as key=value; names that are ambiguous among `keys` are written in full."""
        short = [key.rpartition(".")[2] for key in (keys or self.values)]
        parts = list[str]()
        for key, value in self.values.items():
            last = key.rpartition(".")[2]
            name = key if short.count(last) > 1 else last
            parts.append(setting_text(value) if key.endswith(".use") else f"{name}={setting_text(value)}")
        return ", ".join(parts)


def _inner_marks(value: Any, parts: Path, place: Path, document: Document) -> dict[Path, Location]:
    """The marks of a list's items, for faults in them."""
    found = dict[Path, Location]()
    for number, item in enumerate(value if isinstance(value, list) else ()):
        found[*parts, number] = document.location((*place, number))
        found |= _inner_marks(item, (*parts, number), (*place, number), document)
    return found


def leaves(table: Mapping[str, Any], path: Path) -> Iterator[tuple[str, Any, Path]]:
    """Dotted keys of a table with their values and places; `"basis.use"` and `basis.use` are the same."""
    for key, value in table.items():
        if isinstance(value, dict):
            for inner, leaf, place in leaves(value, (*path, key)):
                yield f"{key}.{inner}", leaf, place
        else:
            yield key, value, (*path, key)


def overlapping(key: str, others: Iterable[str]) -> str:
    """The first of `others` that equals the key, or contains it, or is contained in it; empty if none."""
    for other in others:
        if key == other or key.startswith(f"{other}.") or other.startswith(f"{key}."):
            return other
    return ""


def lookup(document: Document, key: str, registry: Registry) -> Any:
    """A key's value in a spec, or its default; `MISSING` if there is no such key."""
    head, _, option = key.partition(".")
    fields = {field.name: field.default for field in attrs.fields(Head)}
    if not option:
        return document.tree.get(head, fields.get(head, MISSING))
    table = document.tree.get(head, {})
    if not isinstance(table, dict):
        return MISSING
    if head in KINDS and option == "use":
        return table.get(option, KINDS[head].default)
    entry = registry.entries(head).get(str(table.get("use", KINDS[head].default))) if head in KINDS else None
    cls = entry.cls if entry else TABLES.get(head)
    defaults = {field.name: field.default for field in attrs.fields(cls)} if cls else {}
    if option not in defaults:  # an option of a plugin that was replaced
        return MISSING
    value = table.get(option, defaults[option])
    if value is attrs.NOTHING or isinstance(value, attrs.Factory):  # type: ignore[arg-type] - a class, whatever its stub says
        return MISSING
    return list(value) if isinstance(value, tuple) else value


def matches(document: Document, condition: Assignment, registry: Registry) -> bool:
    """Whether every key has its required value, or one of its allowed values."""

    def holds(key: str, wanted: Any) -> bool:
        value = lookup(document, key, registry)
        return value == wanted or (isinstance(wanted, list) and value in wanted)

    return all(holds(key, wanted) for key, wanted in condition.values.items())
