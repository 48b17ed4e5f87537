"""Texts that a model card shows as they are, whatever is in them: in YAML, and as code in Markdown."""

from __future__ import annotations

import json
import re

PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
"""Texts that YAML takes as they are, unless it has a meaning for the word."""
WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
SHOWN = 100
"""Characters of an option's value that a table shows."""


def printable(text: str) -> str:
    """A text on one line, without characters that control a terminal, a direction of writing, or a parser."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def yaml_scalar(value: str | float) -> str:
    """A text or a number as YAML has it. JSON's strings are YAML's, where every character is printable."""
    if not isinstance(value, str):
        return repr(value)
    text = printable(value)
    if PLAIN.fullmatch(text) and text.lower() not in WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)


def code(text: str, most: int = 0) -> str:
    """A text on one line as code, between more backticks than it contains; cut to `most` characters, 0 being all."""
    line = printable(text)
    if most and len(line) > most:
        line = line[: most - 1] + "…"
    fence = "`" * (longest_run(line) + 1)
    pad = " " if "`" in line else ""
    # Within a table a bar ends the cell, in code too, unless it is escaped.
    return f"{fence}{pad}{line}{pad}{fence}".replace("|", "\\|") if line else ""


def fenced(text: str, language: str = "") -> str:
    """Lines as a block of code, between more backticks than they contain."""
    fence = "`" * max(3, longest_run(text) + 1)
    return f"{fence}{language}\n{text.strip(chr(10))}\n{fence}"


def longest_run(text: str) -> int:
    """Length of the longest run of backticks."""
    return max((len(run) for run in re.findall("`+", text)), default=0)
