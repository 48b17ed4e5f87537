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
    """As text: `gradient`, `diagonal`, `all sites`, …"""
    reason: str
    """The measurements behind it."""
    settings: dict[str, Any]
    """Keys and values to set in the spec; empty if nothing should change."""
