"""Lines and tables of advice: their width, their columns, their numbers."""

from __future__ import annotations

from ..advisor.formats import percent

WIDE = 120

Row = tuple[str, ...]


def share(value: float) -> str:
    """A share in percent, without its sign."""
    return percent(value).removesuffix(" %")


def wrapped(text: str, indent: str, after: str | None = None) -> list[str]:
    """Lines of at most `WIDE` characters, a number and its sign on the same one."""
    from textwrap import wrap

    whole = text.replace(" %", "\u00a0%")
    hanging = indent if after is None else after
    lines = wrap(whole, WIDE, initial_indent=indent, subsequent_indent=hanging, break_on_hyphens=False)
    return [line.replace("\u00a0", " ") for line in lines]


def laid_out(rows: list[Row], gap: int = 3) -> list[str]:
    """Cells under each other, the first column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        (" " * gap).join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    )
    return [line.rstrip() for line in lines]
