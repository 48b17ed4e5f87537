"""Texts in Markdown, literally or as code, whatever is in them."""

from __future__ import annotations

import re

SPECIAL = str.maketrans(
    {character: f"\\{character}" for character in "\\`*_[]|#~$"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
)


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
