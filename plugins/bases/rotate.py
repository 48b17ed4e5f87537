"""A block of singular directions of its own for every round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from ...engine.contracts import Frame, SiteView
from ...engine.hookspecs import hookimpl
from ...engine.sdk.site_basis import BlockBasis


@attrs.frozen(kw_only=True)
class Rotate(BlockBasis):
    """Round t takes singular directions `[t r, (t + 1) r)` of the base weight, largest first: ROTATE of arXiv 2604.27308.

    If rounds differ in rank, a round takes the r directions after those of the round before.
    Rounds are orthogonal to one another on both sides, so the rank of the sum grows by r every round.
    """

    def depth(self, ranks: Sequence[int], width: int) -> int:
        """The end of the furthest block."""
        return self.reach(ranks, width)

    def frame(self, site: SiteView, earlier: Sequence[int], rank: int, rng: np.random.Generator) -> Frame:
        """The next block of the base weight."""
        del rng
        return site.directions(self.block(earlier, rank, min(site.shape)))


@hookimpl
def register_bases(register: Callable[[str, type[Any]], None]) -> None:
    """Register `rotate`."""
    register("rotate", Rotate)
