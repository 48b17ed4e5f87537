"""Counts with their nouns."""

from __future__ import annotations


def count_text(count: int, one: str, many: str = "") -> str:
    """A count with its noun: `1 seed`, `5 seeds`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
