"""Wrapped lines and aligned tables of plain text."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

WIDE = 120
"""Most characters of a line of running text."""


def text_width() -> int:
    """Characters of a line of running text: those of a narrow terminal, else `WIDE`."""
    return min(WIDE, shutil.get_terminal_size().columns) if sys.stdout.isatty() else WIDE


def wrapped(text: str, indent: str = "", after: str | None = None) -> list[str]:
    """Lines of at most `text_width()` characters; later ones are indented by `after`. A number and its percent sign stay together."""
    from textwrap import wrap

    whole = text.replace(" %", "\u00a0%")
    hanging = indent if after is None else after
    lines = wrap(
        whole, text_width(), initial_indent=indent, subsequent_indent=hanging, break_on_hyphens=False
    )
    return [line.replace("\u00a0", " ") for line in lines]


def aligned(rows: Sequence[Sequence[str]], left: int = 1, gap: int = 3) -> list[str]:
    """Rows of cells as lines: the first `left` columns left-aligned, numbers right-aligned, a last column without a title left-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    last = len(widths) - 1 if len(widths) > 1 and rows[0][-1] == "" else len(widths)
    return [
        (" " * gap)
        .join(
            cell.ljust(width) if place < left or place == last else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        .rstrip()
        for row in rows
    ]
