"""A spec with only some of its slots: the spec stored in a boost file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from ..registry import KINDS, Registry
from ..sdk.sites import SiteChoice
from .boosting_table import Boosting
from .document import Document, parse
from .faults import Fault, Source, SpecError
from .slots import plugin_of
from .spec import Head, Spec, StopRules
from .start import Start
from .structure import structure_table

TABLES = {"sites": SiteChoice, "boosting": Boosting, "stop": StopRules}
"""The tables without plugins, which every spec has."""


def partial_spec(
    text: str, registry: Registry, slots: Sequence[str], changes: Mapping[str, Mapping[str, Any]], origin: str
) -> Spec:
    """The spec in `text` with these slots alone and changes to their options. Raises `SpecError` with all faults.

    Other tables may name plugins and files that do not exist here. Of a parent run, only the ranks are read.
    """
    given = parse(Source(origin, text, Path.cwd()))
    heads, wanted = {f.name for f in attrs.fields(Head)}, {*slots, *changes, *TABLES, "start"}
    kept = {k: v for k, v in given.tree.items() if k in heads or k in wanted}
    faults = [
        Fault(message=f"{name} must be a table", span=given.location((name,)).value)
        for name in wanted & kept.keys()
        if not isinstance(kept[name], dict)
    ]
    if faults:
        raise SpecError(faults)
    tree = {**kept, **{slot: _changed(kept.get(slot, {}), more) for slot, more in changes.items()}}
    locations = {path: location for path, location in given.locations.items() if path[0] not in changes}
    document = Document(tree, locations, given.source)
    head = structure_table(Head, {k: tree[k] for k in heads if k in tree}, (), document, faults)
    tables = {
        name: structure_table(cls, tree.get(name, {}), (name,), document, faults)
        for name, cls in TABLES.items()
    }
    start = structure_table(Start, tree.get("start", {}), ("start",), document, faults)
    found = {slot: plugin_of(KINDS[slot], document, registry, faults) for slot in slots}
    if faults:
        raise SpecError(faults)
    origin_free = Start(ranks=start.ranks)  # type: ignore[union-attr] - None only where there are faults
    return Spec(head=head, slots=found, start=origin_free, **tables)  # type: ignore[arg-type] - the same


def _changed(table: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """A slot's table with changed options; with another plugin, the old options are dropped."""
    return dict(more) if more.get("use", table.get("use")) != table.get("use") else {**table, **more}
