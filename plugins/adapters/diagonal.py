"""Train one number a direction: how much of each there is to be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from ...engine.contracts import LinearCore, Site
from ...engine.foundation.options import option, whole
from ...engine.hookspecs import hookimpl
from ...engine.sdk.spectrum import EXPONENTS, Spectrum
from ...engine.sdk.tied_vectors import Tie, group_of, tie_option


@attrs.frozen(kw_only=True)
class Diagonal:
    """`R = diag(v)` with `v (r,)` trained: `dW = sum_i v_i s_i u_i v_i'`, each direction by itself.

    The smallest core that uses every direction of a frame; where frames pair left with right directions that belong together, as
    singular ones do, what it leaves out is their mixing.
    """

    rank: int = option(4, "directions a round may change at a site, r; one number is trained for each", whole)
    spectrum: Spectrum = option(
        "flat", "where singular values enter: U S R V', sqrt(S) on both sides, or not at all"
    )
    tie: Tie | int = tie_option()

    @property
    def framed(self) -> bool:
        """It trains inside a frame."""
        return True

    def parametrise(self, site: Site, sites: Sequence[Site], rng: np.random.Generator) -> LinearCore:
        """The r diagonal unit matrices as projections; `v` starts at zero."""
        del rng
        projections = np.zeros((self.rank, self.rank, self.rank))
        places = np.arange(self.rank)
        projections[places, places, places] = 1.0
        return LinearCore(
            rank=self.rank,
            group=group_of(site, sites, self.tie),
            projections=projections,
            init=np.zeros(self.rank),
            exponents=EXPONENTS[self.spectrum],
        )


@hookimpl
def register_adapters(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `diagonal`."""
    register("diagonal", Diagonal)
