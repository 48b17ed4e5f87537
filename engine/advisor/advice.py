"""One line of advice."""

from __future__ import annotations

from typing import Any, Literal

import attrs

Topic = Literal["basis", "core", "rank", "sites", "rounds", "refits", "sampler"]


@attrs.frozen(kw_only=True)
class Advice:
    """One recommendation."""

    topic: Topic
    choice: str
    """In words: `gradient`, `diagonal`, `all sites`, …"""
    reason: str
    """The numbers behind it."""
    settings: dict[str, Any]
    """Keys of the spec with the values to put there; empty where the spec is right as it is."""
