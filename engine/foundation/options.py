"""Options of a plugin: attrs fields with a help text and limits.

`option(default, help)` is short for `attrs.field(default=…, metadata={"help": …})`; plain `attrs.field` works too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NewType

import attrs

REQUIRED: Any = attrs.NOTHING
"""The default of a required option."""

FilePath = NewType("FilePath", str)
"""A path of a file, relative to the file that contains it."""

ModelPath = NewType("ModelPath", str)
"""A model's folder, relative to the file that contains the path, or a Hugging Face id such as `owner/name`."""

DatasetPath = NewType("DatasetPath", str)
"""A data set's folder, relative to the file that contains the path, or a Hugging Face id such as `owner/name`."""

HUB_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,95})?")
"""A Hugging Face id: `name` or `owner/name`."""

MODEL_SUFFIXES = (".json", ".safetensors", ".bin", ".gguf", ".model", ".txt", ".jinja", ".tiktoken")
"""Suffixes of the hashed files of a model's folder: configuration, tokenizer and weights."""

SHOWN = 60
"""Maximum characters of a value in a message."""

Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]


def shortened(text: str, most: int = SHOWN) -> str:
    """A text for a message: cut to `most` characters, with control characters escaped."""
    text = text if len(text) <= most else text[: most - 3] + "…"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class Limit:
    """A validator whose message describes the allowed values."""

    def __init__(self, text: str, accept: Callable[[Any], bool]) -> None:
        self.text, self.accept = text, accept

    def __call__(self, instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        """Raise `ValueError` unless the value, or each item of a tuple, is accepted."""
        values = value if isinstance(value, tuple) else (value,)
        if not all(self.accept(x) for x in values):
            raise ValueError(
                f'"{attribute.name}" must be {self.text}, not {shortened(repr(list(value) if isinstance(value, tuple) else value))}'
            )


positive = Limit("more than 0", lambda x: x > 0)
"""Validator of numbers above 0."""
share = Limit("between 0 and 1", lambda x: 0 <= x <= 1)
"""Validator of numbers in [0, 1]."""
whole = Limit("a whole number of at least 1", lambda x: x >= 1)
"""Validator of integers of at least 1."""


def option(
    default: Any,
    help: str,  # noqa: A002 - the usual name
    *validators: Validator,
    min: float | None = None,  # noqa: A002
    max: float | None = None,  # noqa: A002
) -> Any:
    """An option with a one-line help text, and limits that are checked when a spec is read."""
    checks: list[Validator] = list(validators)
    if min is not None:
        low = min
        checks.append(Limit(f"at least {low:g}", lambda x: x >= low))
    if max is not None:
        high = max
        checks.append(Limit(f"at most {high:g}", lambda x: x <= high))
    return attrs.field(default=default, validator=checks or None, metadata={"help": help})
