"""Take the directions in which the loss falls fastest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from ...engine.contracts import GradientOracle, SiteView
from ...engine.hookspecs import hookimpl
from ...engine.sdk.directions import DataDriven, Pairs, Unused, find_pairs


@attrs.frozen(kw_only=True)
class Gradient(DataDriven):
    """The r leading singular pairs of the mean gradient of the round's loss, earlier rounds' directions projected out.

    With `G = dL/dW` and projectors `P_U`, `P_V` on what earlier rounds used, the frame is that of `(I - P_U) G (I - P_V)`: among all of
    rank r, the update along it lowers the loss most for its size, to first order. Found in two passes, without a dense gradient.
    """

    def pairs(
        self,
        sites: Sequence[SiteView],
        places: Mapping[str, Unused],
        earlier: Sequence[int],
        rank: int,
        oracle: GradientOracle,
    ) -> Mapping[str, Pairs]:
        """By the range finder, all sites in the same two passes."""
        del sites, earlier
        return find_pairs(oracle, list(places.values()), rank, self.oversample)


@hookimpl
def register_bases(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `gradient`."""
    register("gradient", Gradient)
