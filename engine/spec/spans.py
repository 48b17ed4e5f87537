"""Locations of the keys and values of a TOML text, which no TOML parser reports.

The scanner follows the grammar as far as locations require. On malformed text it stops early, and the parser reports the
error. Text that would be too expensive to parse is refused here, before the parser sees it.
"""

from __future__ import annotations

import contextlib
import re

import attrs
import tomli

from .faults import Fault, Source, Span, SpecError

MAX_KEY_PARTS, MAX_DEPTH, MAX_NUMBER, MAX_KEYS = 16, 16, 64, 10_000
Path = tuple[str | int, ...]

_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BLANK = re.compile(r"[ \t]*")
_PART = re.compile(r'[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'')
_STRING = re.compile(
    r'"""(?:[^"\\]|\\[\s\S]|"(?!""))*"{3,5}|\'\'\'[\s\S]*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\''
)
_BARE = re.compile(r"\d{4}-\d\d-\d\d [0-9:.]+[^\s,\]}#]*|[^\s,\[\]{}#=]+")


@attrs.frozen(eq=False)
class Location:
    """The spans of a key and its value, and their layer (higher layers override lower ones)."""

    key: Span
    value: Span
    layer: int = 0


class _MalformedTomlError(Exception):
    """The text is not TOML from here on; the parser reports the error."""


class _Scanner:
    def __init__(self, source: Source) -> None:
        self.source, self.text, self.pos = source, source.text, 0
        self.locations: dict[Path, Location] = {}
        self._arrays: dict[Path, int] = {}
        self._count = 0

    def scan(self) -> None:
        prefix: Path = ()
        while self._skip(_SPACE) < len(self.text):
            if self.text[self.pos] == "[":
                prefix = self._header()
            else:
                self._pair(prefix)

    def _skip(self, pattern: re.Pattern[str]) -> int:
        found = pattern.match(self.text, self.pos)
        self.pos = found.end() if found else self.pos
        return self.pos

    def _expect(self, token: str) -> None:
        if not self.text.startswith(token, self.pos):
            raise _MalformedTomlError
        self.pos += len(token)

    def _refuse(self, start: int, end: int, message: str) -> SpecError:
        return SpecError([Fault(message=message, span=Span(self.source, start, end))])

    def _add(self, path: Path, location: Location) -> None:
        self._count += 1
        if self._count > MAX_KEYS:
            raise self._refuse(
                location.key.start, location.key.end, f"more than {MAX_KEYS:,} keys and list items"
            )
        self.locations[path] = location

    def _key(self) -> tuple[list[str], Span]:
        start, parts = self.pos, list[str]()
        while True:
            found = _PART.match(self.text, self.pos)
            if not found:
                raise _MalformedTomlError
            parts.append(_unquoted(found[0]))
            self.pos = found.end()
            end = self.pos
            if len(parts) > MAX_KEY_PARTS:
                raise self._refuse(start, end, f"a dotted key of more than {MAX_KEY_PARTS} parts")
            self._skip(_BLANK)
            if not self.text.startswith(".", self.pos):
                return parts, Span(self.source, start, end)
            self.pos += 1
            self._skip(_BLANK)

    def _header(self) -> Path:
        start = self.pos
        brackets = "[[" if self.text.startswith("[[", start) else "["
        self._expect(brackets)
        self._skip(_BLANK)
        parts, _ = self._key()
        self._expect("]" * len(brackets))
        span = Span(self.source, start, self.pos)
        path: Path = ()
        for number, part in enumerate(parts, 1):
            if path in self._arrays:
                path = (*path, self._arrays[path])
            path = (*path, part)
            on_the_way = number < len(parts) or len(brackets) == 2
            if on_the_way and path not in self.locations:
                self._add(path, Location(span, span))
        if len(brackets) == 2:
            self._arrays[path] = self._arrays.get(path, -1) + 1
        if path in self._arrays:
            path = (*path, self._arrays[path])
        self._add(path, Location(span, span))
        return path

    def _pair(self, prefix: Path, depth: int = 0) -> None:
        parts, key = self._key()
        self._expect("=")
        self._skip(_BLANK)
        path: Path = (*prefix, *parts)
        value = self._value(path, depth)
        for length in range(len(prefix) + 1, len(path)):
            if path[:length] not in self.locations:
                self._add(path[:length], Location(key, value))
        self._add(path, Location(key, value))

    def _value(self, path: Path, depth: int) -> Span:
        start = self.pos
        if depth > MAX_DEPTH:
            raise self._refuse(start, start + 1, f"values nested more than {MAX_DEPTH} deep")
        opening = self.text[start : start + 1]
        if opening == "[":
            self._array(path, depth)
        elif opening == "{":
            self._inline(path, depth)
        else:
            self._scalar(start)
        return Span(self.source, start, self.pos)

    def _scalar(self, start: int) -> None:
        found = _STRING.match(self.text, start)
        if found is None:
            found = _BARE.match(self.text, start)
            if found is None or found[0][0] in "\"'":
                raise _MalformedTomlError
            if len(found[0]) > MAX_NUMBER:
                raise self._refuse(
                    start, found.end(), f"a value of more than {MAX_NUMBER} characters outside quotes"
                )
        self.pos = found.end()

    def _array(self, path: Path, depth: int) -> None:
        self._expect("[")
        index = 0
        while self._skip(_SPACE) < len(self.text) and self.text[self.pos] != "]":
            item = (*path, index)
            span = self._value(item, depth + 1)
            self._add(item, Location(span, span))
            index += 1
            self._skip(_SPACE)
            if self.text.startswith(",", self.pos):
                self.pos += 1
            elif not self.text.startswith("]", self.pos):
                raise _MalformedTomlError
        self._expect("]")

    def _inline(self, path: Path, depth: int) -> None:
        self._expect("{")
        while self._skip(_SPACE) < len(self.text) and self.text[self.pos] != "}":
            self._pair(path, depth + 1)
            self._skip(_SPACE)
            if self.text.startswith(",", self.pos):
                self.pos += 1
            elif not self.text.startswith("}", self.pos):
                raise _MalformedTomlError
        self._expect("}")


def _unquoted(part: str) -> str:
    """A key part without its quotes and escapes."""
    if part[0] not in "\"'":
        return part
    try:
        return next(iter(tomli.loads(f"{part} = 0")))
    except tomli.TOMLDecodeError as error:
        raise _MalformedTomlError from error


def locate(source: Source) -> dict[Path, Location]:
    """The locations of every key and list item of a text, by path.

    Raises `SpecError` for hostile text: too many key parts, too much nesting, too long a number, too many keys and list items.
    """
    scanner = _Scanner(source)
    with contextlib.suppress(_MalformedTomlError):
        scanner.scan()
    return scanner.locations
