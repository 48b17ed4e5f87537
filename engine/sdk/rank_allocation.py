"""How long directions last: bases that divide a weight's spectrum among rounds, and bases that never run out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

import attrs

from ..foundation.options import option
from .site_basis import SiteBasis

Exhausted = Literal["error", "stop", "wrap"]


@attrs.frozen(kw_only=True)
class Blocks(SiteBasis):
    """Every round takes the r directions that follow those of the round before; what comes after the last ones is a policy."""

    exhausted: Exhausted = option(
        "error",
        "when directions run out: refuse before the run, stop when it comes to it, or start again at block 0",
    )

    def capacity(self, width: int) -> int | None:
        """All `width` directions; without end when it wraps."""
        return None if self.exhausted == "wrap" else width

    def blocks(self, ranks: Sequence[int], width: int) -> Iterator[range]:
        """One round's positions after the other: `[s, s + r)` with `s` where the last round ended, or 0 where r more do not fit."""
        end = 0
        for rank in ranks:
            start = end if end + rank <= width else 0
            end = start + rank
            yield range(start, end)

    def block(self, earlier: Sequence[int], rank: int, width: int) -> range:
        """The positions of the round after `earlier` ones."""
        *_, last = self.blocks((*earlier, rank), width)
        return last

    def reach(self, ranks: Sequence[int], width: int) -> int:
        """How many positions rounds of these ranks take, counted from 0 to the furthest."""
        return max((block.stop for block in self.blocks(ranks, width)), default=0)


@attrs.frozen(kw_only=True)
class Unbounded(SiteBasis):
    """For bases that can always give a frame, as long as r directions fit at all."""

    exhausted: ClassVar[str] = "error"

    def capacity(self, width: int) -> int | None:
        """Without end."""
        del width
