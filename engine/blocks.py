"""Blocks of directions: how bases that walk along a weight's spectrum divide it among rounds."""

from __future__ import annotations

from typing import Literal

import attrs

from .options import option

Exhausted = Literal["error", "stop", "wrap"]


@attrs.frozen(kw_only=True)
class Blocks:
    """Round t takes block t of r directions; what follows the last whole block is a policy."""

    exhausted: Exhausted = option(
        "error",
        "when directions run out: refuse before the run, stop when it comes to it, or start again at block 0",
    )

    def capacity(self, rank: int, width: int) -> int | None:
        """`floor(width / rank)` rounds; without end when it wraps."""
        whole_blocks = width // rank
        return None if self.exhausted == "wrap" and whole_blocks > 0 else whole_blocks

    def block(self, round: int, rank: int, width: int) -> range:  # noqa: A002
        """Positions `[t r, (t + 1) r)`, with `t` taken modulo the number of whole blocks."""
        start = (round % (width // rank)) * rank
        return range(start, start + rank)
