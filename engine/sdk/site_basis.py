"""Bases that build each site's frame from its weight alone: blocks of its spectrum for every round, or frames without a limit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar, Literal

import attrs
import numpy as np

from ..contracts import Frame, GradientOracle, SiteView
from ..foundation.options import option

Exhausted = Literal["error", "stop", "wrap"]


@attrs.frozen(kw_only=True)
class SiteBasis:
    """A basis that uses no data: the base of `BlockBasis` and `UnboundedBasis`, which add `exhausted` and `capacity`.

    A subclass of these implements `frame`, which is called once for each site, and `depth` if it uses `site.directions`.
    """

    def calibration(self, rank: int) -> None:
        """None: no calibration examples."""
        del rank

    def depth(self, ranks: Sequence[int], width: int) -> int:
        """0: no singular directions of the base weight, unless a subclass overrides it."""
        del ranks, width
        return 0

    def frame(self, site: SiteView, earlier: Sequence[int], rank: int, rng: np.random.Generator) -> Frame:
        """One site's frame, after rounds of the ranks `earlier`."""
        raise NotImplementedError

    def frames(
        self,
        sites: Sequence[SiteView],
        earlier: Sequence[int],
        rank: int,
        oracle: GradientOracle | None,
        rng: Callable[[str], np.random.Generator],
    ) -> Mapping[str, Frame]:
        """Every site's `frame`, each with the site's own random stream."""
        del oracle
        return {site.name: self.frame(site, earlier, rank, rng(site.name)) for site in sites}


@attrs.frozen(kw_only=True)
class BlockBasis(SiteBasis):
    """Consecutive blocks of directions: every round takes the r after those of the round before, until they are `exhausted`."""

    exhausted: Exhausted = option(
        "error",
        "when directions run out: refuse before the run, stop at that round, or start again at block 0",
    )

    def capacity(self, width: int) -> int | None:
        """All `width` directions; None (unlimited) if the basis wraps."""
        return None if self.exhausted == "wrap" else width

    def blocks(self, ranks: Sequence[int], width: int) -> Iterator[range]:
        """Each round's positions `[s, s + r)`: `s` is the end of the round before, or 0 if `s + r` would exceed `width`."""
        end = 0
        for rank in ranks:
            start = end if end + rank <= width else 0
            end = start + rank
            yield range(start, end)

    def block(self, earlier: Sequence[int], rank: int, width: int) -> range:
        """The positions of the next round, after rounds of the ranks `earlier`."""
        *_, last = self.blocks((*earlier, rank), width)
        return last

    def reach(self, ranks: Sequence[int], width: int) -> int:
        """The end of the furthest block that rounds of these ranks take."""
        return max((block.stop for block in self.blocks(ranks, width)), default=0)


@attrs.frozen(kw_only=True)
class UnboundedBasis(SiteBasis):
    """A basis with a frame for every round, as long as `r <= min(d_out, d_in)`."""

    exhausted: ClassVar[str] = "error"

    def capacity(self, width: int) -> int | None:
        """None: unlimited."""
        del width
