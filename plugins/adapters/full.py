"""Full fine-tuning of a site's weight: the upper baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import attrs
import numpy as np

from ...engine.contracts import DenseDelta, Site
from ...engine.hookspecs import hookimpl


@attrs.frozen(kw_only=True)
class Full:
    """Full fine-tuning of the sites' weights (biases and other weights stay frozen); the basis is not used."""

    rank: ClassVar[int] = 0

    @property
    def framed(self) -> bool:
        """False: it uses no frame."""
        return False

    def parametrise(self, site: Site, sites: Sequence[Site], rng: np.random.Generator) -> DenseDelta:
        """A dense update that starts at zero."""
        del site, sites, rng
        return DenseDelta()


@hookimpl
def register_adapters(register: Callable[[str, type[Any]], None]) -> None:
    """Register `full`."""
    register("full", Full)
