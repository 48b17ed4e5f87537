"""Values for dotted keys of a spec, and where they were written, so that a fault in one points there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from ..registry import KINDS, Registry
from ..spec.document import Document, overlay
from ..spec.resolve import TABLES
from ..spec.spans import Mark, Path
from ..spec.spec import Head

MISSING = object()
"""A key that a spec does not have."""


@attrs.frozen
class Assignment:
    """`basis.use = "rotate"`, …: what an arm, a block or a tuning sets."""

    values: Mapping[str, Any] = attrs.field(factory=dict)
    places: Mapping[str, Path] = attrs.field(factory=dict)

    def adding(self, key: str, value: Any, place: Path) -> Assignment:
        """With one more key; a table sets each of its own."""
        found = {key: (value, place)} if not isinstance(value, dict) else {}
        if isinstance(value, dict):
            found = {f"{key}.{inner}": (v, where) for inner, v, where in leaves(value, place)}
        values = {**self.values, **{k: v for k, (v, _) in found.items()}}
        return Assignment(values, {**self.places, **{k: p for k, (_, p) in found.items()}})

    @classmethod
    def joined(cls, parts: Iterable[Assignment]) -> Assignment:
        """All in one; what comes later wins."""
        found = cls()
        for part in parts:
            found = cls({**found.values, **part.values}, {**found.places, **part.places})
        return found

    def applied(self, document: Document) -> Document:
        """The document under these values."""
        tree, marks = dict[str, Any](), dict[Path, Mark]()
        for key, value in self.values.items():
            parts = tuple(key.split("."))
            written, below = document.mark(self.places[key]), tree
            for length in range(1, len(parts) + 1):
                marks[parts[:length]] = written
            for part in parts[:-1]:
                below = below.setdefault(part, {})
            below[parts[-1]] = value
        return overlay(document, Document(tree, marks, document.source))

    def label(self, keys: Sequence[str] | None = None) -> str:
        """For people: a plugin by its name, anything else as key=value; `keys` tells which names would be ambiguous."""
        short = [key.rpartition(".")[2] for key in (keys or self.values)]
        parts = list[str]()
        for key, value in self.values.items():
            last = key.rpartition(".")[2]
            name = key if short.count(last) > 1 else last
            parts.append(text(value) if key.endswith(".use") else f"{name}={text(value)}")
        return ", ".join(parts)


def text(value: Any) -> str:
    """A value as TOML writes it, without quotes."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return "[" + ", ".join(text(v) for v in value) + "]"
    return str(value)


def leaves(table: Mapping[str, Any], path: Path) -> Iterator[tuple[str, Any, Path]]:
    """Dotted keys of a table with their values and places; `"basis.use"` and `basis.use` are the same."""
    for key, value in table.items():
        if isinstance(value, dict):
            for inner, leaf, place in leaves(value, (*path, key)):
                yield f"{key}.{inner}", leaf, place
        else:
            yield key, value, (*path, key)


def lookup(document: Document, key: str, registry: Registry) -> Any:
    """A key's value in a spec, the default where the text does not say; `MISSING` where there is no such key."""
    head, _, option = key.partition(".")
    fields = {field.name: field.default for field in attrs.fields(Head)}
    if not option:
        return document.tree.get(head, fields.get(head, MISSING))
    table = document.tree.get(head, {})
    if not isinstance(table, dict):
        return MISSING
    if option in table:
        return table[option]
    if head in KINDS and option == "use":
        return KINDS[head].default
    entry = registry.entries(head).get(str(table.get("use", KINDS[head].default))) if head in KINDS else None
    cls = entry.cls if entry else TABLES.get(head)
    defaults = {field.name: field.default for field in attrs.fields(cls)} if cls else {}
    value = defaults.get(option, MISSING)
    return list(value) if isinstance(value, tuple) else value


def matches(document: Document, condition: Assignment, registry: Registry) -> bool:
    """Whether every key has the value it must have, or one of a list of them."""

    def holds(key: str, wanted: Any) -> bool:
        value = lookup(document, key, registry)
        return value == wanted or (isinstance(wanted, list) and value in wanted)

    return all(holds(key, wanted) for key, wanted in condition.values.items())
