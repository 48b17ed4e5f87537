"""What counts as the answer in a text."""

from __future__ import annotations

import re
from typing import Any, Literal

import attrs

from .numbers import last_number

Match = Literal["exact", "last-line", "last-number"]


def regular(instance: object, attribute: attrs.Attribute[Any], value: str) -> None:
    """A validator: the option holds a regular expression."""
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f'"{attribute.name}" is no regular expression: {error}') from error


def answer_of(text: str, match: Match, extract: str) -> str | None:
    """The answer in a text, None where there is none.

    First `extract`, where it is not empty: the last match of the regular expression, its first group where it has one. Then
    `match`: the whole of that without the space around it, its last line that is not blank, or its last number (`1,200.50`
    is `1200.5`; see `last_number`).
    """
    if extract:
        found = list(re.finditer(extract, text))
        if not found:
            return None
        text = (found[-1][1] if found[-1].re.groups else found[-1][0]) or ""
    if match == "exact":
        return text.strip()
    if match == "last-line":
        return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), None)
    return last_number(text)
