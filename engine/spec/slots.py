"""Tables of plugins: a plugin's name and its options."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import attrs

from ..foundation.shell import command_line
from ..records.commands import plugin_options
from ..registry import SERVICES, Kind, Registry
from .document import Document
from .faults import Fault, did_you_mean, listed
from .spec import Slot
from .structure import show, structure_table

YOUR_OWN = 'a plugin of your own is named with --plugin FILE.py, or with plugins = ["FILE.py"] at the top of the spec'


def as_table(name: str, document: Document, faults: list[Fault]) -> dict[str, Any] | None:
    """A table of the document; None, with a fault added, if it is not a table."""
    table = document.tree.get(name, {})
    if isinstance(table, dict):
        return table
    span = document.location((name,)).value
    faults.append(Fault(message=f"{name} must be a table, got {show(table)}", span=span, allowed=f"[{name}]"))
    return None


def plugin_of(kind: Kind, document: Document, registry: Registry, faults: list[Fault]) -> Slot | None:
    """The plugin in a slot with its options; None, with the faults added, if there are any."""
    table = as_table(kind.slot, document, faults)
    if table is None:
        return None
    entries = registry.entries(kind.slot)
    location = document.location((kind.slot, "use"))
    use = table.get("use", kind.default)
    if use is None:
        missing = f'missing table "[{kind.slot}]"' if kind.slot not in document.tree else 'missing key "use"'
        allowed = "use = " + " | ".join(f'"{name}"' for name in entries)
        faults.append(Fault(message=missing, span=document.location((kind.slot,)).key, allowed=allowed))
        return None
    if not isinstance(use, str) or use not in entries:
        hint = _hint(use, location.value.source.folder, entries, registry) if isinstance(use, str) else ""
        message = f"unknown {kind.slot} plugin {show(use)}"
        if not isinstance(use, str):
            message = f"{kind.slot}.use: expected a string, got {show(use)}"
        faults.append(Fault(message=message, span=location.value, allowed=listed(entries), hint=hint))
        return None
    options = _options(kind, table, use, document, registry)
    plugin = structure_table(entries[use].cls, options, (kind.slot,), document, faults)
    return (
        None
        if plugin is None
        else Slot(use=use, plugin=plugin, code=entries[use].code, distribution=entries[use].distribution)
    )


def trackers_of(document: Document, registry: Registry, faults: list[Fault]) -> dict[str, Any]:
    """The trackers of `[trackers.NAME]`, by name."""
    found, kind = dict[str, Any](), SERVICES["tracker"]
    table = as_table("trackers", document, faults) or {}
    for name, options in table.items():
        plugin = service(
            kind,
            name,
            options,
            path=("trackers", name),
            document=document,
            registry=registry,
            faults=faults,
        )
        found |= {} if plugin is None else {name: plugin}
    return found


def service(
    kind: Kind,
    name: str,
    options: Any,
    *,
    path: tuple[str, ...],
    document: Document,
    registry: Registry,
    faults: list[Fault],
) -> Any:
    """A service plugin, from the table of its options; None, with the faults added, if there are any."""
    entries = registry.entries(kind.slot)
    if name not in entries:
        span = document.location(path).key
        hint = _hint(name, span.source.folder, entries, registry)
        message = f"unknown {kind.slot} plugin {show(name)}"
        faults.append(Fault(message=message, span=span, allowed=listed(entries), hint=hint))
        return None
    if not isinstance(options, dict):
        message = f"{'.'.join(path)} must be a table, got {show(options)}"
        faults.append(Fault(message=message, span=document.location(path).value))
        return None
    return structure_table(entries[name].cls, options, path, document, faults)


def _hint(name: str, folder: Path, entries: Collection[str], registry: Registry) -> str:
    """What may be meant by an unknown name: the plugin files of the run whose spec this is, a similar name, or a plugin of the user's own."""
    if options := plugin_options(folder):
        return f"the run was made with {command_line(*options)}; if you trust it, name it again"
    return did_you_mean(name, list(entries)) or _broken(registry, name) or YOUR_OWN


def _broken(registry: Registry, use: str) -> str:
    """Broken plugins that may be the missing one."""
    return "; ".join(f"{b.origin} is broken: {b.reason}" for b in registry.broken if use in b.origin)


def _options(
    kind: Kind, table: dict[str, Any], use: str, document: Document, registry: Registry
) -> dict[str, Any]:
    """The table's options, without those of a plugin that a higher layer replaced.

    `extends` and `--set basis.use=random` replace the plugin, but not the options written for the old one. Options that the new
    plugin has too are kept, options that only the old plugin has are dropped, all others are faults.
    """
    entries = registry.entries(kind.slot)
    fields = {field.name for field in attrs.fields(entries[use].cls)}
    replaced = [name or kind.default for name in document.replaced.get(kind.slot, [])]
    old = {f.name for name in replaced if name in entries for f in attrs.fields(entries[name].cls)} - fields
    top = document.location((kind.slot, "use")).layer
    return {
        key: value
        for key, value in table.items()
        if key != "use" and not (key in old and document.location((kind.slot, key)).layer < top)
    }
