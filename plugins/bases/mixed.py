"""Divide a round's directions between what the data asks for and what the weight has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from ...engine.contracts import Evidence, Question, SiteView
from ...engine.directions import Informed, Pairs, Unused, find_pairs, leading_pairs
from ...engine.hookspecs import hookimpl
from ...engine.options import option
from ...engine.options import share as part


@attrs.frozen(kw_only=True)
class Mixed(Informed):
    """A `share` of the r directions as `gradient` finds them, the others the base weight's next singular ones, as `rotate` takes them.

    Of the weight's block only what earlier rounds have left is taken; the gradient's are found in what both leave.
    """

    share: float = option(
        0.5, "share of the directions that follow the gradient, rounded to whole ones", part
    )

    def of_gradient(self, rank: int) -> int:
        """How many of `rank` directions follow the gradient; half a direction does."""
        return int(self.share * rank + 0.5)

    def depth(self, rounds: int, rank: int, width: int) -> int:
        """All the weight's own directions that the rounds take."""
        return min(rounds, width // rank) * (rank - self.of_gradient(rank))

    def question(self, rank: int) -> Question:
        """Columns for the gradient's share alone; none, and no pass, where that is nothing."""
        own = self.of_gradient(rank)
        question = super().question(own)
        return question if own else attrs.evolve(question, passes=0, columns=0)

    def pairs(
        self,
        sites: Sequence[SiteView],
        places: Mapping[str, Unused],
        round: int,  # noqa: A002
        rank: int,
        evidence: Evidence,
    ) -> Mapping[str, Pairs]:
        """The weight's block first, since it does not depend on data; in the frame, the gradient's directions come first."""
        own = self.of_gradient(rank)
        blocks = {site.name: self._block(site, places[site.name], round, rank) for site in sites}
        if own == 0:
            return blocks
        free = [places[name].without(block.U, block.V) for name, block in blocks.items()]
        found = find_pairs(evidence, free, own, self.oversample)
        return {name: found[name].beside(block) for name, block in blocks.items()}

    def _block(self, site: SiteView, place: Unused, round: int, rank: int) -> Pairs:  # noqa: A002
        """The leading pairs of `(I - P_U) U_b S_b V_b' (I - P_V)` for block b of the base weight."""
        kept = rank - self.of_gradient(rank)
        if kept == 0:
            return Pairs(U=np.zeros((site.shape[0], 0)), V=np.zeros((site.shape[1], 0)))
        start = (round % (min(site.shape) // rank)) * kept
        block = site.directions(range(start, start + kept))
        return leading_pairs(block.U * block.S, block.V, place, kept)


@hookimpl
def register_bases(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `mixed`."""
    register("mixed", Mixed)
