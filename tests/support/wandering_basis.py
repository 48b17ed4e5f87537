"""A basis whose frames nobody can make again: it draws from a generator of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from boostlora.engine.contracts import Frame, SiteView
from boostlora.engine.hookspecs import hookimpl
from boostlora.engine.sdk.site_basis import UnboundedBasis

OWN = np.random.default_rng()


@attrs.frozen(kw_only=True)
class Wandering(UnboundedBasis):
    """Random columns from a state that moves on with every call."""

    def frame(self, site: SiteView, earlier: Sequence[int], rank: int, rng: np.random.Generator) -> Frame:
        """Other columns whenever it is asked."""
        sides = (np.linalg.qr(OWN.standard_normal((rows, rank)))[0] for rows in site.shape)
        return Frame(U=next(sides), S=np.ones(rank), V=next(sides))


@attrs.frozen(kw_only=True)
class Following(UnboundedBasis):
    """What the merged weight has beyond the frames that were used: a refused round must not have used any."""

    def frame(self, site: SiteView, earlier: Sequence[int], rank: int, rng: np.random.Generator) -> Frame:
        """The leading columns of the merged weight, turned by as many places as frames were used."""
        found = site.merged_directions(min(site.shape))
        first = (len(site.used) * rank) % (min(site.shape) - rank + 1)
        return found.take(range(first, first + rank))


@hookimpl
def register_bases(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `wandering` and `following`."""
    register("wandering", Wandering)
    register("following", Following)
