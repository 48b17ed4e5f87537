"""Divide a round's directions between what the data asks for and what the weight has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from ...engine.contracts import CalibrationSpec, GradientOracle, SiteView
from ...engine.foundation.options import option
from ...engine.foundation.options import share as part
from ...engine.hookspecs import hookimpl
from ...engine.sdk.directions import DataDriven, Pairs, Unused, find_pairs, leading_pairs


@attrs.frozen(kw_only=True)
class Mixed(DataDriven):
    """A `share` of the r directions as `gradient` finds them, the others the base weight's next singular ones, as `rotate` takes them.

    Of the weight's block only what earlier rounds have left is taken; the gradient's are found in what both leave.
    """

    share: float = option(
        0.5, "share of the directions that follow the gradient, rounded to whole ones", part
    )

    def of_gradient(self, rank: int) -> int:
        """How many of `rank` directions follow the gradient; half a direction does."""
        return int(self.share * rank + 0.5)

    def depth(self, ranks: Sequence[int], width: int) -> int:
        """All the weight's own directions that the rounds take."""
        return max((begin + kept for begin, kept in self._kept(ranks, width)), default=0)

    def calibration(self, rank: int) -> CalibrationSpec:
        """Columns for the gradient's share alone; none, and no pass, where that is nothing."""
        own = self.of_gradient(rank)
        calibration = super().calibration(own)
        return calibration if own else attrs.evolve(calibration, passes=0, columns=0)

    def pairs(
        self,
        sites: Sequence[SiteView],
        places: Mapping[str, Unused],
        earlier: Sequence[int],
        rank: int,
        oracle: GradientOracle,
    ) -> Mapping[str, Pairs]:
        """The weight's block first, since it does not depend on data; in the frame, the gradient's directions come first."""
        own = self.of_gradient(rank)
        blocks = {site.name: self._block(site, places[site.name], (*earlier, rank)) for site in sites}
        if own == 0:
            return blocks
        free = [places[name].without(block.U, block.V) for name, block in blocks.items()]
        found = find_pairs(oracle, free, own, self.oversample)
        return {name: found[name].beside(block) for name, block in blocks.items()}

    def _kept(self, ranks: Sequence[int], width: int) -> Iterator[tuple[int, int]]:
        """By round, at which of the weight's directions its own begin, and how many these are; all anew whenever none are left."""
        taken = begin = 0
        for rank in ranks:
            if taken + rank > width:
                taken = begin = 0
            kept = rank - self.of_gradient(rank)
            yield begin, kept
            taken, begin = taken + rank, begin + kept

    def _block(self, site: SiteView, place: Unused, ranks: Sequence[int]) -> Pairs:
        """The leading pairs of `(I - P_U) U_b S_b V_b' (I - P_V)` for the last round's block b of the base weight."""
        *_, (begin, kept) = self._kept(ranks, min(site.shape))
        if kept == 0:
            return Pairs(U=np.zeros((site.shape[0], 0)), V=np.zeros((site.shape[1], 0)))
        block = site.directions(range(begin, begin + kept))
        return leading_pairs(block.U * block.S, block.V, place, kept)


@hookimpl
def register_bases(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `mixed`."""
    register("mixed", Mixed)
