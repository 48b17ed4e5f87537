"""The ranks of another run's rounds, from its spec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..registry import KINDS, Registry
from .boosting_table import Boosting
from .document import Document, load
from .faults import Fault
from .ranks import Ranks
from .slots import as_table, plugin_of
from .start import SPEC, Start
from .structure import structure_table


def inherited_ranks(folder: Path, number: int, registry: Registry) -> tuple[int, ...]:
    """The rank of each round up to `number`, refits excluded; 0 for adapters without a frame.

    Raises `SpecError` for a spec that cannot be read.
    """
    document, faults = load(folder / SPEC), list[Fault]()
    slot = plugin_of(KINDS["adapter"], document, registry, faults)
    boosting: Boosting = _table(Boosting, "boosting", document) or Boosting()
    start: Start = _table(Start, "start", document) or Start()
    rounds = boosting.fresh_in(number)
    if slot is None:  # the plugin is not installed: use its table
        usual = document.tree.get("adapter", {}).get("rank", 0)
        framed = bool(usual)
    else:
        usual, framed = slot.plugin.rank, slot.plugin.framed
    if not framed:
        return (*start.ranks[:rounds], *(0,) * (rounds - len(start.ranks)))
    return Ranks(usual=usual, listed=boosting.ranks, inherited=start.ranks).first(rounds)


def _table(cls: type[Any], name: str, document: Document) -> Any:
    """A table of a spec that was valid when it was written."""
    faults = list[Fault]()
    table = as_table(name, document, faults)
    return None if table is None else structure_table(cls, table, (name,), document, faults)
