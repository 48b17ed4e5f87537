"""Decompose the merged weight again in every round: the tempting mistake, kept for ablations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from ...engine.contracts import Frame, SiteView
from ...engine.hookspecs import hookimpl
from ...engine.sdk.rank_allocation import Unbounded


@attrs.frozen(kw_only=True)
class Refresh(Unbounded):
    """The r leading singular directions of the *current*, merged weight, as a wrap-train-merge loop would take them.

    The top directions move little between rounds, so rounds overlap almost wholly: on the quickstart, 16 rounds of 4 reach
    rank 10 to 13 where `rotate` reaches 64.
    """

    def frame(self, site: SiteView, earlier: Sequence[int], rank: int, rng: np.random.Generator) -> Frame:
        """The leading r of the weight as it is now."""
        del earlier, rng
        return site.merged_directions(rank)


@hookimpl
def register_bases(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `refresh`."""
    register("refresh", Refresh)
