"""A diagonal core: one trained coefficient for each direction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from ...engine.contracts import LinearCore, Site
from ...engine.foundation.options import option, whole
from ...engine.hookspecs import hookimpl
from ...engine.sdk.spectrum import EXPONENTS, Spectrum, spectrum_option
from ...engine.sdk.tied_vectors import Tying, group_of, tie_option


@attrs.frozen(kw_only=True)
class Diagonal:
    """`R = diag(v)` with `v (r,)` trained: `dW = sum_i v_i s_i u_i v_i'`, one coefficient for each direction.

    The smallest core that uses every direction of a frame: it omits the off-diagonal entries, which couple left and right directions of
    different singular pairs.
    """

    rank: int = option(4, "rank r: directions per site and round, with one trained coefficient each", whole)
    spectrum: Spectrum = spectrum_option()
    tie: Tying | int = tie_option()

    @property
    def framed(self) -> bool:
        """True: the core is trained inside a frame."""
        return True

    def parametrise(self, site: Site, sites: Sequence[Site], rng: np.random.Generator) -> LinearCore:
        """`P_i = e_i e_i'` as projections; `v` starts at zero."""
        del rng
        projections = np.zeros((self.rank, self.rank, self.rank))
        diagonal = np.arange(self.rank)
        projections[diagonal, diagonal, diagonal] = 1.0
        return LinearCore(
            rank=self.rank,
            group=group_of(site, sites, self.tie),
            projections=projections,
            init=np.zeros(self.rank),
            exponents=EXPONENTS[self.spectrum],
        )


@hookimpl
def register_adapters(register: Callable[[str, type[Any]], None]) -> None:
    """Register `diagonal`."""
    register("diagonal", Diagonal)
