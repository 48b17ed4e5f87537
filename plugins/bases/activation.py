"""Take the directions along which a layer's inputs vary most, as the covariance has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from ...engine.contracts import GradientOracle, SiteView
from ...engine.foundation.options import option
from ...engine.hookspecs import hookimpl
from ...engine.sdk.directions import DataDriven, Pairs, Unused, leading_pairs, principal_directions


@attrs.frozen(kw_only=True)
class Activation(DataDriven):
    """The r strongest directions of what comes into a layer, and where its current weight sends them, earlier rounds projected out.

    With inputs `X (n, d_in)`, V spans the leading eigenvectors of `(I - P_V) X'X/n (I - P_V)`; U and V are then the singular pairs of
    `(I - P_U) W V V'`. It asks which inputs matter, and not what the loss wants of them.
    """

    sweeps: int = option(
        2,
        "passes over the examples: all but the last sharpen the directions, the last tells them apart",
        min=2,
    )

    @property
    def passes(self) -> int:
        """As the option says."""
        return self.sweeps

    def pairs(
        self,
        sites: Sequence[SiteView],
        places: Mapping[str, Unused],
        earlier: Sequence[int],
        rank: int,
        oracle: GradientOracle,
    ) -> Mapping[str, Pairs]:
        """Right directions of all sites together, then each weight's own left ones."""
        del sites, earlier
        found = principal_directions(oracle, list(places.values()), rank, self.oversample, self.sweeps)
        return {name: _sent(oracle.weight(name), found[name], place) for name, place in places.items()}


def _sent(W: NDArray[np.float64], V: NDArray[np.float64], place: Unused) -> Pairs:
    """The singular pairs of `(I - P_U) W V V'`: V turned so that its columns are sent to orthogonal places."""
    return leading_pairs(W @ V, V, place, V.shape[1])


@hookimpl
def register_bases(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `activation`."""
    register("activation", Activation)
