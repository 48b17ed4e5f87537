"""A run's result beside those of trivial rivals on the same splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..analysis.run_findings import rival_table
from ..contracts.records import RoundRecord
from .layout import aligned


def rival_lines(rivals: Mapping[str, Any] | None, records: Sequence[RoundRecord], best: int) -> list[str]:
    """A table of the rivals, the base and the best round; a line if a rival is as good on validation; notes."""
    table = rival_table(rivals, records, best)
    if table is None:
        return []
    return [*aligned([("on the same splits", *table.titles), *table.rows], gap=2), *table.notes]
