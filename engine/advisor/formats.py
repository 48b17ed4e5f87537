"""Formats of shares and counts."""

from __future__ import annotations


def percent(share: float) -> str:
    """A share: `12.0 %`, `0.16 %`, `< 0.01 %`, `0 %`."""
    value = 100 * share
    if 0 < value < 0.005:
        return "< 0.01 %"
    return f"{value:.{1 if abs(value) >= 1 else 2}f} %" if value else "0 %"


def plural(word: str, count: int) -> str:
    """The word in singular or plural."""
    return word if count == 1 else word + "s"


def directions(rank: int) -> str:
    """`1 direction`, `4 directions`."""
    return f"{rank} {plural('direction', rank)}"
