"""Singular directions from the small end of the spectrum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from ...engine.contracts import Frame, SiteView
from ...engine.hookspecs import hookimpl
from ...engine.sdk.site_basis import BlockBasis


@attrs.frozen(kw_only=True)
class Tail(BlockBasis):
    """Round t takes the t-th block of r singular directions, smallest first; needs a full SVD."""

    def depth(self, ranks: Sequence[int], width: int) -> int:
        """All directions: the smallest need a full SVD."""
        return width if ranks else 0

    def frame(self, site: SiteView, earlier: Sequence[int], rank: int, rng: np.random.Generator) -> Frame:
        """The next block, counted from the end; the smallest direction comes first."""
        del rng
        width = min(site.shape)
        # Singular directions are indexed from the largest, so the end of the spectrum is at `width - 1`.
        return site.directions([width - 1 - i for i in self.block(earlier, rank, width)])


@hookimpl
def register_bases(register: Callable[[str, type[Any]], None]) -> None:
    """Register `tail`."""
    register("tail", Tail)
