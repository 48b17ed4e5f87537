"""Weight stores: merged weights one site at a time, without running the model."""

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
    """A base's weights, read from their files on demand, so that few are in memory at once.

    Its results are bit-identical to those of the model that the same backend opens.
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
        """The site's update from a round's trained `values` (by tied group, or by site and factor)."""
        ...

    def merged(self, site: str, updates: SiteUpdates = ()) -> NDArray[Any]:
        """`W_0 + sum_t s_t dW_t (d_out, d_in)` in the dtype in which merges are computed: float32 or float64."""
        ...


@runtime_checkable
class StoringBackend(Protocol):
    """A backend that can open weights without the model."""

    def store(self, source: ModelSource, sites: Sequence[Site], report: Report) -> WeightStore:
        """Open the weights. Called to write a merged model, or to rebuild an ensemble from trained values."""
        ...


@runtime_checkable
class ModularModel(Protocol):
    """A model that can return its torch module."""

    def module(self) -> Any:
        """A copy of the module with merged weights, in the base's own classes; it does not depend on this package."""
        ...
