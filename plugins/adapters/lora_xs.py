"""LoRA-XS: a full core inside the frame."""

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
class LoraXs:
    """LoRA-XS (arXiv 2405.17604): all `r^2` entries of `R` are trained.

    The paper initialises `R` from N(0, init_std^2) with `init_std = 1e-5`; with 0, the default here, a round starts at the current
    model. The paper's `U S R V^T` is `spectrum = "paper"`.
    """

    rank: int = option(4, "rank r: directions per site and round", whole)
    spectrum: Spectrum = spectrum_option()
    tie: Tying | int = tie_option()
    init_std: float = option(0.0, "standard deviation of the core's initial entries", min=0.0)

    @property
    def framed(self) -> bool:
        """True: the core is trained inside a frame."""
        return True

    def parametrise(self, site: Site, sites: Sequence[Site], rng: np.random.Generator) -> LinearCore:
        """No projections: `v` is the core, row by row. Tied sites share the initial core of the first one."""
        return LinearCore(
            rank=self.rank,
            group=group_of(site, sites, self.tie),
            projections=None,
            init=self.init_std * rng.standard_normal(self.rank**2),
            exponents=EXPONENTS[self.spectrum],
        )


@hookimpl
def register_adapters(register: Callable[[str, type[Any]], None]) -> None:
    """Register `lora-xs`."""
    register("lora-xs", LoraXs)
