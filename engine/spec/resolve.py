"""A document is resolved against the plugin registry: a spec, or all its faults."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from ..foundation.options import shortened
from ..registry import KINDS, Registry
from ..sdk.sites import SiteChoice
from .boosting_table import Boosting
from .document import Document, find_spec, load
from .faults import Fault, SpecError, did_you_mean, listed
from .plugin_list import KEY as PLUGINS
from .plugin_list import not_loaded
from .ranks import Ranks
from .slots import as_table, plugin_of, trackers_of
from .spec import Head, Spec, StopRules
from .start import SPEC, Start, resolve_start
from .structure import structure_table

TABLES = {"sites": SiteChoice, "boosting": Boosting, "stop": StopRules, "start": Start}
MAX_FAULTS = 1000


def load_spec(name: str | Path, registry: Registry, settings: Sequence[str] = ()) -> Spec:
    """Read a spec by path or shipped name, with `key=value` settings on top. Raises `SpecError` with all faults."""
    path = find_spec(str(name))
    document = load(path, settings)
    if "ablate" in document.tree:
        location = document.location(("ablate",)).key
        hint = f"run it with: boostlora ablate {name}"
        raise SpecError([Fault(message="[ablate] makes this a study of many runs", span=location, hint=hint)])
    return resolve(document, registry, default_name=legal_name(path.stem))


def legal_name(stem: str) -> str:
    """A valid run name from a file's stem."""
    name = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in stem.lower()).lstrip(
        "._-"
    )
    return name[:64] or "run"


def resolve(document: Document, registry: Registry, default_name: str = "run") -> Spec:
    """A document as a spec. Raises `SpecError` with all faults of the document."""
    faults = list[Fault]()
    tree = document.tree
    fields = [field.name for field in attrs.fields(Head)]
    known = [*fields, *KINDS, *TABLES, "trackers", "ablate", "extends", PLUGINS]
    unknown = [key for key in tree if key not in known]
    for key in unknown[:MAX_FAULTS]:
        span = document.location((key,)).key
        hint = did_you_mean(key, known)
        faults.append(
            Fault(message=f'unknown key "{shortened(key)}"', span=span, allowed=listed(known), hint=hint)
        )
    head_keys = {key: tree[key] for key in fields if key in tree}
    head = structure_table(Head, {"name": default_name} | head_keys, (), document, faults)
    tables = {name: _table(cls, name, document, faults) for name, cls in TABLES.items()}
    if (start := tables["start"]) is not None:
        taken = partial(inherited_ranks, registry=registry)
        tables["start"] = resolve_start(start, None if head is None else head.rounds, document, faults, taken)
    slots = {slot: plugin_of(kind, document, registry, faults) for slot, kind in KINDS.items()}
    trackers = trackers_of(document, registry, faults)
    files = tuple(file.resolve() for file in registry.files)
    faults += [not_loaded(plugin) for plugin in document.plugins if plugin.path not in files]
    if faults:
        raise SpecError(faults)
    return Spec(head=head, slots=slots, trackers=trackers, plugin_files=files, **tables)  # type: ignore[arg-type] - None only where there are faults


def inherited_ranks(folder: Path, number: int, registry: Registry) -> tuple[int, ...]:
    """The rank of each round up to `number`, refits excluded; 0 for adapters without a frame.

    Raises `SpecError` for a spec that cannot be read.
    """
    document, faults = load(folder / SPEC), list[Fault]()
    slot = plugin_of(KINDS["adapter"], document, registry, faults)
    boosting: Boosting = _table(Boosting, "boosting", document, faults) or Boosting()
    start: Start = _table(Start, "start", document, faults) or Start()
    rounds = boosting.fresh_in(number)
    if slot is None:  # the plugin is not installed: use its table
        usual = document.tree.get("adapter", {}).get("rank", 0)
        framed = bool(usual)
    else:
        usual, framed = slot.plugin.rank, slot.plugin.framed
    if not framed:
        return (*start.ranks[:rounds], *(0,) * (rounds - len(start.ranks)))
    return Ranks(usual=usual, listed=boosting.ranks, inherited=start.ranks).first(rounds)


def _table(cls: type[Any], name: str, document: Document, faults: list[Fault]) -> Any:
    table = as_table(name, document, faults)
    return None if table is None else structure_table(cls, table, (name,), document, faults)
