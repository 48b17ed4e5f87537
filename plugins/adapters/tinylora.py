"""TinyLoRA: a few trained coefficients of fixed random matrices inside the frame."""

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
class TinyLora:
    """TinyLoRA (arXiv 2602.04118): `R = sum_i v_i P_i` with `P_i (r, r)` fixed, entries N(0, 1/r), and `v (u,)` trained.

    The variance 1/r keeps `E ||P_i x||^2 = ||x||^2`, so that the scale of an update does not depend on the rank.
    """

    rank: int = option(4, "rank r: directions per site and round", whole)
    u: int = option(8, "trained parameters per round and site (or group of tied sites)", whole, max=65536)
    spectrum: Spectrum = spectrum_option()
    tie: Tying | int = tie_option()

    @property
    def framed(self) -> bool:
        """True: the core is trained inside a frame."""
        return True

    def parametrise(self, site: Site, sites: Sequence[Site], rng: np.random.Generator) -> LinearCore:
        """Projections `(u, r, r)` from the site's own stream; `v` starts at zero."""
        shape = (self.u, self.rank, self.rank)
        return LinearCore(
            rank=self.rank,
            group=group_of(site, sites, self.tie),
            projections=rng.standard_normal(shape) / np.sqrt(self.rank),
            init=np.zeros(self.u),
            exponents=EXPONENTS[self.spectrum],
        )


@hookimpl
def register_adapters(register: Callable[[str, type[Any]], None]) -> None:
    """Register `tinylora`."""
    register("tinylora", TinyLora)
