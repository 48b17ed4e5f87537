"""A spec of which only some slots are known: what is left of one in a file that was made to be handed on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import tomli

from ..registry import KINDS, Registry
from ..sites import SiteChoice
from .document import Document
from .faults import Fault, Source, SpecError
from .resolve import plugin_of
from .spec import Head, Spec, StopRules
from .structure import structure_table


def partial_spec(
    text: str, registry: Registry, slots: Sequence[str], changes: Mapping[str, Mapping[str, Any]], origin: str
) -> Spec:
    """The spec in `text` with these slots alone, under changes of their options. Raises `SpecError` with every fault.

    Other tables may name plugins and files that are not here.
    """
    given = tomli.loads(text)
    heads = {f.name for f in attrs.fields(Head)}
    kept = {k: v for k, v in given.items() if k in heads or k in {*slots, "sites", "stop"}}
    tree = {**kept, **{slot: _changed(kept.get(slot, {}), more) for slot, more in changes.items()}}
    document = Document(tree, {}, Source(origin, text, Path.cwd()))
    faults = list[Fault]()
    head = structure_table(Head, {k: tree[k] for k in heads if k in tree}, (), document, faults)
    tables = {
        name: structure_table(cls, tree.get(name, {}), (name,), document, faults)
        for name, cls in (("sites", SiteChoice), ("stop", StopRules))
    }
    found = {slot: plugin_of(KINDS[slot], document, registry, faults) for slot in slots}
    if faults:
        raise SpecError(faults)
    return Spec(head=head, slots=found, **tables)  # type: ignore[arg-type] - None only where there are faults


def _changed(table: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """A slot's table with other options; another plugin has its own."""
    return dict(more) if more.get("use", table.get("use")) != table.get("use") else {**table, **more}
