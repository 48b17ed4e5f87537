"""Train a handful of numbers that weigh fixed random matrices inside the frame."""

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
class TinyLora:
    """TinyLoRA (arXiv 2602.04118): `R = sum_i v_i P_i` with `P_i (r, r)` fixed, entries N(0, 1/r), and `v (u,)` trained."""

    rank: int = option(4, "directions a round may change at a site, r", whole)
    u: int = option(8, "parameters trained a round at a site (or a group of tied sites)", whole, max=65536)
    spectrum: Spectrum = option(
        "flat", "where singular values enter: U S R V', sqrt(S) on both sides, or not at all"
    )
    tie: Tie | int = tie_option()

    @property
    def framed(self) -> bool:
        """It trains inside a frame."""
        return True

    def parametrise(self, site: Site, sites: Sequence[Site], rng: np.random.Generator) -> LinearCore:
        """Projections from the site's own stream; `v` starts at zero."""
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
    """Offer `tinylora`."""
    register("tinylora", TinyLora)
