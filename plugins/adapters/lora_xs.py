"""Train the whole small core inside the frame."""

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
class LoraXs:
    """LoRA-XS (arXiv 2405.17604): all `r^2` entries of `R` trained.

    The paper starts from N(0, init_std^2) with `init_std = 1e-5`; at 0, the default here, a round starts at the model as
    it is. Its `U S R V^T` is `spectrum = "paper"`.
    """

    rank: int = option(4, "directions a round may change at a site, r", whole)
    spectrum: Spectrum = option(
        "flat", "where singular values enter: U S R V', sqrt(S) on both sides, or not at all"
    )
    tie: Tie | int = tie_option()
    init_std: float = option(0.0, "standard deviation of the core's start", min=0.0)

    @property
    def framed(self) -> bool:
        """It trains inside a frame."""
        return True

    def parametrise(self, site: Site, sites: Sequence[Site], rng: np.random.Generator) -> LinearCore:
        """The unit matrices as projections, so that `v` is the core; a tied core starts as its first site's."""
        return LinearCore(
            rank=self.rank,
            group=group_of(site, sites, self.tie),
            projections=None,
            init=self.init_std * rng.standard_normal(self.rank**2),
            exponents=EXPONENTS[self.spectrum],
        )


@hookimpl
def register_adapters(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `lora-xs`."""
    register("lora-xs", LoraXs)
