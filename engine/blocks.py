"""How long directions last: bases that divide a weight's spectrum among rounds, and bases that never run out."""

from __future__ import annotations

from typing import ClassVar, Literal

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


@attrs.frozen(kw_only=True)
class Endless:
    """For bases that can always give a frame, as long as r directions fit at all."""

    exhausted: ClassVar[str] = "error"

    def capacity(self, rank: int, width: int) -> int | None:
        """Without end, or none at all where r is larger than the width."""
        return None if rank <= width else 0

    def depth(self, rounds: int, rank: int, width: int) -> int:
        """None of the base weight's own directions, unless a basis says else."""
        del rounds, rank, width
        return 0
