"""LoRA: free low-rank factors, the usual baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from ...engine.contracts import FreeFactors, Site
from ...engine.foundation.options import option, positive, whole
from ...engine.hookspecs import hookimpl


@attrs.frozen(kw_only=True)
class Lora:
    """LoRA (arXiv 2106.09685): `dW = (alpha / r) B A`, `A` uniform in `±1/sqrt(d_in)`, `B = 0`; the basis is not used."""

    rank: int = option(4, "rank of a round's update, r", whole)
    alpha: float = option(8.0, "scale: the update is multiplied by alpha / r", positive)

    @property
    def framed(self) -> bool:
        """False: it trains its own directions."""
        return False

    def parametrise(self, site: Site, sites: Sequence[Site], rng: np.random.Generator) -> FreeFactors:
        """`A (r, d_in)` from the site's own stream."""
        del sites
        bound = 1.0 / np.sqrt(site.shape[1])
        A = rng.uniform(-bound, bound, (self.rank, site.shape[1]))
        return FreeFactors(rank=self.rank, scale=self.alpha / self.rank, A=A)


@hookimpl
def register_adapters(register: Callable[[str, type[Any]], None]) -> None:
    """Register `lora`."""
    register("lora", Lora)
