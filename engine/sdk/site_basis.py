"""Bases that build each site's frame from its weight alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs
import numpy as np

from ..contracts import Frame, GradientOracle, SiteView


@attrs.frozen(kw_only=True)
class SiteBasis:
    """A basis that uses no data; a subclass implements `frame`, which is called once for each site."""

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
