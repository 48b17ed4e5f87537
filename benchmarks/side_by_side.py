"""Prints aligned tables, and times cases in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def interleaved(
    cases: Mapping[str, Callable[[], Any]], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Median seconds of each case; the cases take turns, so that a slow moment of the machine hits all of them."""
    for case in cases.values():  # the first call pays for imports and buffers
        case()
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, case in cases.items():
            start = clock()
            case()
            seconds[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def show(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table, the first column to the left and the others to the right."""
    cells = [[str(value) for value in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    for row in (cells[0], rule, *cells[1:]):
        aligned = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
        print("| " + " | ".join(aligned) + " |")


def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds with three digits or so."""
    value = 1000 * seconds
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}"
