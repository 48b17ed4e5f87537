"""Commands as people type them."""

from __future__ import annotations

import shlex
from pathlib import Path


def command_line(*words: str | Path) -> str:
    """A command to type, quoted where it must be."""
    return shlex.join(str(word) for word in words)
