"""Wrapped lines and aligned tables of plain text."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Collection, Mapping, Sequence

WIDE = 120
"""Most characters of a line of running text."""
UNLIMITED = 1000
"""Most characters of a table's line in a log."""
LEAST = 8
"""Least characters of a cell that is cut."""


def line_width() -> int:
    """Characters of a line: those of the terminal; in a log, `UNLIMITED`."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else UNLIMITED


def text_width() -> int:
    """Characters of a line of running text: those of a narrow terminal, else `WIDE`."""
    return min(WIDE, line_width())


def wrapped(text: str, indent: str = "", after: str | None = None) -> list[str]:
    """Lines of at most `text_width()` characters; later ones are indented by `after`. A number and its percent sign stay together."""
    from textwrap import wrap

    whole = text.replace(" %", "\u00a0%")
    hanging = indent if after is None else after
    lines = wrap(
        whole, text_width(), initial_indent=indent, subsequent_indent=hanging, break_on_hyphens=False
    )
    return [line.replace("\u00a0", " ") for line in lines]


def paragraph(text: str, after: str = "") -> list[str]:
    """A text as `wrapped` lines on a terminal, and as one line in a log."""
    return [text] if line_width() == UNLIMITED else wrapped(text, after=after)


def cut(text: str, most: int) -> str:
    """A text of at most `most` characters; a longer one is cut in the middle, since its start and end tell it from others."""
    if len(text) <= most:
        return text
    end = (most - 1) // 2
    return f"{text[: most - 1 - end]}…{text[len(text) - end :]}"


def aligned(rows: Sequence[Sequence[str]], left: Collection[int] = (0,), gap: int = 3) -> list[str]:
    """Rows of cells as lines: columns `left` and a last one without a title are left-aligned, all others right-aligned.

    Where they are wider than the terminal, columns stand closer, then cells of the widest column are cut.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if sum(widths) + gap * (len(widths) - 1) > line_width():
        gap = min(gap, 2)
        widest = widths.index(max(widths))
        excess = sum(widths) + gap * (len(widths) - 1) - line_width()
        widths[widest] = min(widths[widest], max(LEAST, widths[widest] - excess))
    last = len(widths) - 1 if len(widths) > 1 and rows[0][-1] == "" else len(widths)
    return [
        (" " * gap)
        .join(
            text.ljust(width) if place in left or place == last else text.rjust(width)
            for place, (text, width) in enumerate(
                (cut(cell, width), width) for cell, width in zip(row, widths, strict=True)
            )
        )
        .rstrip()
        for row in rows
    ]


def without_dispensable(
    columns: Mapping[str, Sequence[str]], dispensable: Sequence[str], gap: int = 2
) -> tuple[dict[str, Sequence[str]], list[str]]:
    """The columns that fit on a line, and the titles of those left out, in the order of `dispensable`."""
    kept, dropped = dict(columns), list[str]()
    for title in dispensable:
        width = sum(max(map(len, cells)) + gap for cells in kept.values()) - gap
        if width > line_width() and title in kept:
            del kept[title]
            dropped.append(title)
    return kept, dropped
