"""Bytes and starts of runs, in words."""

from __future__ import annotations

from typing import Any


def start_line(spec: Any) -> str:
    """Which rounds a run has from another, and which are left to it."""
    start = spec.start
    left = "none" if start.round == spec.rounds else f"{start.round + 1} to {spec.rounds}"
    return f"goes on from {start}, whose rounds 0 to {start.round} become its own; left to play: {left}"


def size_text(count: int) -> str:
    """Bytes for people."""
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.2f} GiB"
