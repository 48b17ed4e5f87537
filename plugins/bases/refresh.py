"""Decompose the merged weight again in every round: the tempting mistake, kept for ablations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import attrs
import numpy as np

from ...engine.contracts import Frame, SiteView
from ...engine.hookspecs import hookimpl


@attrs.frozen(kw_only=True)
class Refresh:
    """The r leading singular directions of the *current*, merged weight, as a wrap-train-merge loop would take them.

    The top directions hardly move between rounds, so rounds overlap almost wholly and the rank barely grows.
    """

    exhausted: ClassVar[str] = "error"

    def capacity(self, rank: int, width: int) -> int | None:
        """Without end, as long as there are r directions at all."""
        return None if rank <= width else 0

    def depth(self, rounds: int, rank: int, width: int) -> int:
        """None of the base weight's."""
        del rounds, rank, width
        return 0

    def frame(self, site: SiteView, round: int, rank: int, rng: np.random.Generator) -> Frame:  # noqa: A002
        """The leading r of the weight as it is now."""
        del round, rng
        return site.merged_directions(rank)


@hookimpl
def register_bases(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `refresh`."""
    register("refresh", Refresh)
