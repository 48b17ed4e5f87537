"""A mixture of the gradient's directions and the base weight's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from ...engine.contracts import CalibrationSpec, SiteView
from ...engine.foundation.options import option
from ...engine.foundation.options import share as part
from ...engine.hookspecs import hookimpl
from ...engine.sdk.directions import (
    DataDrivenBasis,
    PairsRequest,
    SingularPairs,
    SiteComplements,
    gradient_singular_pairs,
    leading_singular_pairs,
)


@attrs.frozen(kw_only=True)
class Mixed(DataDrivenBasis):
    """A `share` of the r directions from the gradient, as in `gradient`; the others are the base weight's next ones, as in `rotate`.

    The weight's block is projected onto directions that earlier rounds left unused; the gradient's directions are orthogonal to both.
    """

    share: float = option(
        0.5, "share of the directions taken from the gradient, rounded to a whole number", part
    )

    def of_gradient(self, rank: int) -> int:
        """How many of `rank` directions come from the gradient, halves rounded up."""
        # Not `round`, which rounds halves to even.
        return int(self.share * rank + 0.5)

    def depth(self, ranks: Sequence[int], width: int) -> int:
        """The base weight's singular directions that rounds of these ranks use."""
        return max((begin + kept for begin, kept in self._kept(ranks, width)), default=0)

    def calibration(self, rank: int) -> CalibrationSpec:
        """Columns for the gradient's share alone; no columns and no pass if the share is 0."""
        own = self.of_gradient(rank)
        calibration = super().calibration(own)
        # A share of 0 needs no data, so such a round also computes no gradient.
        return calibration if own else attrs.evolve(calibration, passes=0, columns=0)

    def pairs(self, request: PairsRequest) -> Mapping[str, SingularPairs]:
        """The weight's block is computed first, since it does not depend on data; in the frame, the gradient's directions come first."""
        own, complements = self.of_gradient(request.rank), request.complements
        ranks = (*request.earlier, request.rank)
        blocks = {site.name: self._block(site, complements[site.name], ranks) for site in request.sites}
        if own == 0:
            return blocks
        # Free of the block too, so that the frame's columns are orthonormal.
        free = [complements[name].without(block.U, block.V) for name, block in blocks.items()]
        found = gradient_singular_pairs(request.oracle, free, own, self.oversample)
        return {name: found[name].concatenate(block) for name, block in blocks.items()}

    def _kept(self, ranks: Sequence[int], width: int) -> Iterator[tuple[int, int]]:
        """By round, `(begin, kept)`: its block of the weight's directions is `[begin, begin + kept)`; both restart at a wrap."""
        taken = begin = 0
        for rank in ranks:
            # Wraps count the full rank, as in `frames_since_wrap`: the gradient's directions use up the site's width too.
            if taken + rank > width:
                taken = begin = 0
            kept = rank - self.of_gradient(rank)
            yield begin, kept
            taken, begin = taken + rank, begin + kept

    def _block(self, site: SiteView, complement: SiteComplements, ranks: Sequence[int]) -> SingularPairs:
        """The leading pairs of `(I - P_U) U_b S_b V_b' (I - P_V)` for the last round's block b of the base weight."""
        *_, (begin, kept) = self._kept(ranks, min(site.shape))
        if kept == 0:
            return SingularPairs(U=np.zeros((site.shape[0], 0)), V=np.zeros((site.shape[1], 0)))
        block = site.directions(range(begin, begin + kept))
        # Weighted by S, so that what projection leaves of large singular directions comes first.
        return leading_singular_pairs(block.U * block.S, block.V, complement, kept)


@hookimpl
def register_bases(register: Callable[[str, type[Any]], None]) -> None:
    """Register `mixed`."""
    register("mixed", Mixed)
