"""Give every round its own block of singular directions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np

from ...engine.blocks import Blocks
from ...engine.contracts import Frame, SiteView
from ...engine.hookspecs import hookimpl


@attrs.frozen(kw_only=True)
class Rotate(Blocks):
    """Round t takes singular directions `[t r, (t + 1) r)` of the base weight, largest first: ROTATE of arXiv 2604.27308.

    Rounds are orthogonal to one another on both sides, so the rank of the sum grows by r every round.
    """

    def depth(self, rounds: int, rank: int, width: int) -> int:
        """All blocks that the rounds take."""
        return min(rounds, width // rank) * rank

    def frame(self, site: SiteView, round: int, rank: int, rng: np.random.Generator) -> Frame:  # noqa: A002
        """Block `round` of the base weight."""
        del rng
        return site.directions(self.block(round, rank, min(site.shape)))


@hookimpl
def register_bases(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `rotate`."""
    register("rotate", Rotate)
