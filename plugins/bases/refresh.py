"""The SVD of the merged weight, repeated in every round: a common mistake, kept for ablations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from ...engine.contracts import Frame, SiteView
from ...engine.hookspecs import hookimpl
from ...engine.sdk.site_basis import UnboundedBasis


@attrs.frozen(kw_only=True)
class Refresh(UnboundedBasis):
    """The r leading singular directions of the *current*, merged weight, as in a wrap-train-merge loop.

    The leading directions change little between rounds, so rounds overlap almost entirely: on the quickstart, 16 rounds of 4 reach
    rank 10 to 13 where `rotate` reaches 64.
    """

    def frame(self, site: SiteView, earlier: Sequence[int], rank: int, rng: np.random.Generator) -> Frame:
        """The leading r of the current weight."""
        del earlier, rng
        # Not `directions`, which are those of the base weight.
        return site.merged_directions(rank)


@hookimpl
def register_bases(register: Callable[[str, type[Any]], None]) -> None:
    """Register `refresh`."""
    register("refresh", Refresh)
