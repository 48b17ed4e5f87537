"""Untrusted texts for Markdown and CSV: literally, as code, and never as a formula."""

from __future__ import annotations

import re

SPECIAL = str.maketrans(
    {character: f"\\{character}" for character in "\\`*_[]|#~$"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
)

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""First characters of a CSV cell that a spreadsheet computes, full-width signs included."""


def spreadsheet_text(text: str) -> str:
    """A CSV cell that spreadsheets take as text: behind an apostrophe if it starts like a formula and is no number."""
    # A lone "\r" ends a line and is left unquoted.
    first, text = text[:1], text.replace("\r\n", "\n").replace("\r", "\n")
    if not first or first not in FORMULA:
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return f"'{text}" if first.isspace() else text


def escaped(text: str) -> str:
    """A text on one line that Markdown takes literally, also within a table."""
    return " ".join(text.split()).translate(SPECIAL)


def printable(text: str) -> str:
    """A text on one line, without characters that control a terminal, a direction of writing, or a parser."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def code(text: str, most: int = 0) -> str:
    """A text on one line as code, between more backticks than it contains; cut to `most` characters, 0 being all."""
    line = printable(text)
    if most and len(line) > most:
        line = line[: most - 1] + "…"
    fence = "`" * (_longest_run(line) + 1)
    pad = " " if "`" in line else ""
    # Within a table a bar ends the cell, in code too, unless it is escaped.
    return f"{fence}{pad}{line}{pad}{fence}".replace("|", "\\|") if line else ""


def fenced(text: str, language: str = "") -> str:
    """Lines as a block of code, between more backticks than they contain."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{text.strip(chr(10))}\n{fence}"


def _longest_run(text: str) -> int:
    """Length of the longest run of backticks."""
    return max((len(run) for run in re.findall("`+", text)), default=0)
