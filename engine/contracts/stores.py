"""Weights without a model around them: all that a merge needs, one site at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from ..foundation.run_context import Report
from .cores import Parametrisation
from .frames import Frame
from .sites import ModelSource, Site
from .updates import Update

SiteUpdates = Sequence[tuple[Update, float]]
"""One site's updates with their scales, in the order of the rounds."""


class WeightStore(Protocol):
    """A base's weights, read from their files when asked for; nothing of the model is computed, and little is in memory at once.

    What it gives is what the model that the same backend opens has, bit for bit.
    """

    def directions(self, site: str, count: int, updates: SiteUpdates = ()) -> Frame:
        """The `count` leading singular triplets, canonical signs, of the base weight, or of the weight with `updates` merged."""
        ...

    def rms_singular_value(self, site: str) -> float:
        """`||W||_F / sqrt(min(d_out, d_in))` of the base weight."""
        ...

    def update(
        self,
        site: str,
        parametrisation: Parametrisation,
        frame: Frame | None,
        values: Mapping[str, NDArray[Any]],
    ) -> Update:
        """What a round that ended with these trained `values` (by group, or by site and factor) adds to a site."""
        ...

    def merged(self, site: str, updates: SiteUpdates = ()) -> NDArray[Any]:
        """`W_0 + sum_t s_t dW_t (d_out, d_in)` in the dtype in which merges are computed: float32 or float64."""
        ...


@runtime_checkable
class StoringBackend(Protocol):
    """A backend that can open weights alone."""

    def store(self, source: ModelSource, sites: Sequence[Site], report: Report) -> WeightStore:
        """Called where a merged model is to be written, or an ensemble rebuilt from what was trained."""
        ...


@runtime_checkable
class ModularModel(Protocol):
    """A model that can hand out its module."""

    def module(self) -> Any:
        """A copy of the module as it is now, merged weights in it, in the base's own classes: nothing of this package is left in it."""
        ...
