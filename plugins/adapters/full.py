"""Train every entry of the site: full fine-tuning, the upper baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import attrs
import numpy as np

from ...engine.contracts import DenseDelta, Site
from ...engine.hookspecs import hookimpl


@attrs.frozen(kw_only=True)
class Full:
    """Full fine-tuning of the sites' weights (biases and other weights stay); the basis is not asked."""

    rank: ClassVar[int] = 0

    @property
    def framed(self) -> bool:
        """It uses no frame."""
        return False

    def parametrise(self, site: Site, sites: Sequence[Site], rng: np.random.Generator) -> DenseDelta:
        """A dense update from zero."""
        del site, sites, rng
        return DenseDelta()


@hookimpl
def register_adapters(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `full`."""
    register("full", Full)
