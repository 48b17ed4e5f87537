"""Faults of a spec: location, message, allowed values, hint."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

import attrs

from ..errors import BoostLoraError
from ..foundation.options import shortened
from ..foundation.redaction import without_credentials

SHOWN = 50
"""Maximum number of faults shown; a hostile file may have a hundred thousand."""
MOST_NAMES = 10
"""Maximum number of known names listed after an unknown one."""
WINDOW = 96
"""Maximum characters of a source line shown around a fault."""


@attrs.frozen(eq=False)
class Source:
    """The text of a file or a `--set` argument."""

    name: str
    text: str
    folder: Path
    """The folder that relative paths in it refer to."""
    quoted: bool = True
    """Whether messages may quote its lines; False for a file without the suffix of a spec."""

    def line_of(self, offset: int) -> tuple[int, int, str]:
        """Line and column, both from 1, and the line's text."""
        start = self.text.rfind("\n", 0, offset) + 1
        end = self.text.find("\n", offset)
        line = self.text[start : len(self.text) if end < 0 else end]
        return self.text.count("\n", 0, offset) + 1, offset - start + 1, line


@attrs.frozen(eq=False)
class Span:
    """Characters `[start, end)` of a source."""

    source: Source
    start: int
    end: int


@attrs.frozen(kw_only=True, eq=False)
class Fault:
    """One fault: the message, the allowed values, and a hint on how to fix it."""

    message: str
    span: Span | None = None
    where: str = ""
    """Replaces the span of a file that could not be read."""
    allowed: str = ""
    hint: str = ""
    quoted: bool = True
    """Whether the message quotes the line; False for a line with a credential."""

    def position(self) -> str:
        """`file:line:column`, as editors and terminals link it."""
        if self.span is None:
            return self.where
        line, column, _ = self.span.source.line_of(self.span.start)
        return f"{self.span.source.name}:{line}:{column}"

    def __str__(self) -> str:
        lines = [f"{self.position()}: {self.message}", *self._picture()]
        if self.allowed:
            lines.append(f"      allowed: {self.allowed}")
        if self.hint:
            lines.append(f"      {self.hint}")
        return "\n".join(lines)

    def _picture(self) -> list[str]:
        if self.span is None or not self.quoted or not self.span.source.quoted:
            return []
        number, column, line = self.span.source.line_of(self.span.start)
        if (clean := without_credentials(line)) != line:
            line, column = clean, min(column, len(clean)) or 1
        width = max(1, min(self.span.end - self.span.start, len(line) - column + 1))
        first = max(0, column - 1 - WINDOW // 2) if len(line) > WINDOW else 0
        shown = "".join(c if c.isprintable() else " " for c in line[first : first + WINDOW])
        caret = " " * (column - 1 - first) + "^" * min(width, max(1, len(shown) - (column - 1 - first)))
        return [f"{number:5} | {shown}", f"      | {caret}"]

    def as_json(self) -> dict[str, object]:
        """The fault as a JSON object."""
        found: dict[str, object] = {"where": self.position(), "message": self.message}
        if self.span is not None:
            line, column, _ = self.span.source.line_of(self.span.start)
            found |= {"file": self.span.source.name, "line": line, "column": column}
        return found | {"allowed": self.allowed, "hint": self.hint}


class SpecError(BoostLoraError):
    """All faults of a spec, in the order of the file."""

    exit_code = 2

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = sorted(faults, key=_place)
        shown = "\n".join(str(fault) for fault in self.faults[:SHOWN])
        count = len(self.faults)
        rest = f"\n… and {count - SHOWN} more" if count > SHOWN else ""
        total = f"\n{count} faults; nothing was run" if count > 1 else ""
        super().__init__(shown + rest + total)


def _place(fault: Fault) -> tuple[str, int]:
    return ("", -1) if fault.span is None else (fault.span.source.name, fault.span.start)


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """`did you mean "x"?` for the closest known word, or an empty string."""
    close = get_close_matches(word[:64], known, n=1, cutoff=0.6)
    return f'did you mean "{close[0]}"?' if close else ""


def unknown_name(what: str, name: str, known: Sequence[str], *, place: str = "", command: str = "") -> str:
    """The message for a name that does not exist: the closest known name, then some of those in `place`, then the command that lists all."""
    there = f"in {place} there are" if place else "there are"
    if hint := did_you_mean(name, known):
        there = f"{hint} {there[0].upper()}{there[1:]}"
    rest = len(known) - MOST_NAMES
    more = f", and {rest} more; list them with: {command}" if rest > 0 else ""
    return f'no {what} "{shortened(name, 200)}"; {there}: {listed(known[:MOST_NAMES]) or "none yet"}{more}'


def listed(words: Iterable[str]) -> str:
    """Words as a comma-separated list."""
    return ", ".join(words)
