"""Give every round the same top directions: what boosting without rotation amounts to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from ...engine.contracts import Frame, SiteView
from ...engine.hookspecs import hookimpl
from ...engine.sdk.rank_allocation import Unbounded


@attrs.frozen(kw_only=True)
class Fixed(Unbounded):
    """The r leading singular directions of the base weight, every round ("top" in the paper): the rank stays at r."""

    def depth(self, ranks: Sequence[int], width: int) -> int:
        """The leading r of the largest round."""
        del width
        return max(ranks, default=0)

    def frame(self, site: SiteView, earlier: Sequence[int], rank: int, rng: np.random.Generator) -> Frame:
        """The leading r, whatever the round."""
        del earlier, rng
        return site.directions(range(rank))


@hookimpl
def register_bases(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `fixed`."""
    register("fixed", Fixed)
