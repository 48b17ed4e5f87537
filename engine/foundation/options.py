"""Options of a plugin: attrs fields that carry their help and their limits.

`option(default, help)` is short for `attrs.field(default=…, metadata={"help": …})`; plain `attrs.field` serves too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NewType

import attrs

REQUIRED: Any = attrs.NOTHING
"""Default of an option that has none."""

FilePath = NewType("FilePath", str)
"""A file named in a spec: a relative path is read as relative to the file that names it."""

ModelPath = NewType("ModelPath", str)
"""A model's folder, relative to the file that names it, or else a Hugging Face id such as `owner/name`."""

DatasetPath = NewType("DatasetPath", str)
"""A data set's folder, relative to the file that names it, or else a Hugging Face id such as `owner/name`."""

HUB_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,95})?")
"""What names a model or a data set on the Hugging Face hub: `name` or `owner/name`."""

MODEL_SUFFIXES = (".json", ".safetensors", ".bin", ".gguf", ".model", ".txt", ".jinja", ".tiktoken")
"""Files of a model's folder that count: configuration, tokenizer and weights."""

SHOWN = 60
"""Characters of a value that a message shows."""

Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]


def shortened(text: str, most: int = SHOWN) -> str:
    """A text that fits into a message and cannot disturb a terminal: cut, control characters escaped."""
    text = text if len(text) <= most else text[: most - 3] + "…"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class Limit:
    """A validator for numbers that says what is allowed: `[low, high]`, with either end open or absent."""

    def __init__(self, text: str, accept: Callable[[Any], bool]) -> None:
        self.text, self.accept = text, accept

    def __call__(self, instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        """Raise ValueError unless the value, or every one of several, is accepted."""
        values = value if isinstance(value, tuple) else (value,)
        if not all(self.accept(x) for x in values):
            raise ValueError(
                f'"{attribute.name}" must be {self.text}, not {shortened(repr(list(value) if isinstance(value, tuple) else value))}'
            )


positive = Limit("more than 0", lambda x: x > 0)
share = Limit("between 0 and 1", lambda x: 0 <= x <= 1)
whole = Limit("a whole number of at least 1", lambda x: x >= 1)


def option(
    default: Any,
    help: str,  # noqa: A002 - the word users know
    *validators: Validator,
    min: float | None = None,  # noqa: A002
    max: float | None = None,  # noqa: A002
) -> Any:
    """An option with its one-line help, and limits that are checked when a spec is read."""
    checks: list[Validator] = list(validators)
    if min is not None:
        low = min
        checks.append(Limit(f"at least {low:g}", lambda x: x >= low))
    if max is not None:
        high = max
        checks.append(Limit(f"at most {high:g}", lambda x: x <= high))
    return attrs.field(default=default, validator=checks or None, metadata={"help": help})
