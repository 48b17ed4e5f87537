"""Texts that a model card shows as they are, whatever is in them, in YAML."""

from __future__ import annotations

import json
import re

from ...foundation.markup import printable

PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
"""Texts that YAML takes as they are, unless it has a meaning for the word."""
WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
SHOWN = 100
"""Characters of an option's value that a table shows."""


def yaml_scalar(value: str | float) -> str:
    """A text or a number as YAML has it. JSON's strings are YAML's, where every character is printable."""
    if not isinstance(value, str):
        return repr(value)
    text = printable(value)
    if PLAIN.fullmatch(text) and text.lower() not in WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)
