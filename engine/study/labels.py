"""Values as people read them in the names of arms and cells."""

from __future__ import annotations

from typing import Any

from ..foundation.options import SHOWN, shortened


def text(value: Any) -> str:
    """A value as TOML writes it, without quotes: on one line, and cut in its middle where it is long.

    Different numbers read differently: `0.1`, but `0.1234567` and not `0.123457`.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return short if float(short := f"{value:g}") == value else repr(value)
    if isinstance(value, list | tuple):
        return _cut("[" + ", ".join(text(v) for v in value) + "]")
    return _cut(str(value))


def _cut(words: str) -> str:
    """The beginning and the end, since paths differ at their ends; control characters escaped."""
    if len(words) > SHOWN:
        half = SHOWN // 2 - 1
        words = f"{words[:half]}…{words[-half:]}"
    return shortened(words, 10 * SHOWN)
