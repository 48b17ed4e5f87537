"""The same leading directions for every round: boosting without rotation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from ...engine.contracts import Frame, SiteView
from ...engine.hookspecs import hookimpl
from ...engine.sdk.site_basis import UnboundedBasis


@attrs.frozen(kw_only=True)
class Fixed(UnboundedBasis):
    """The r leading singular directions of the base weight, in every round ("top" in the paper): the ensemble's rank stays at r."""

    def depth(self, ranks: Sequence[int], width: int) -> int:
        """The largest rank of any round."""
        del width
        return max(ranks, default=0)

    def frame(self, site: SiteView, earlier: Sequence[int], rank: int, rng: np.random.Generator) -> Frame:
        """The leading r, in every round."""
        del earlier, rng
        return site.directions(range(rank))


@hookimpl
def register_bases(register: Callable[[str, type[Any]], None]) -> None:
    """Register `fixed`."""
    register("fixed", Fixed)
