"""Base weights without a module, merged one site at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...engine.contracts import Frame, ModelSource, Parametrisation, Site, SiteUpdates, Update
from . import weights as w
from .devices import deterministic, resolve
from .factorise import leading_triplets
from .trainables import update_of

if TYPE_CHECKING:
    from .options import ComputeOptions


class TorchStore:
    """The weights that `TorchModel` would have, computed with the same operations on the same device."""

    def __init__(self, source: ModelSource, sites: Sequence[Site], options: ComputeOptions) -> None:
        self._threads, self._place = options.threads, resolve(options.device, options.dtype)
        self._base = w.BaseWeights(source)
        self._shapes = {site.name: site.shape for site in sites}

    def directions(self, site: str, count: int, updates: SiteUpdates = ()) -> Frame:
        """The `count` leading singular triplets of the base weight, or of the merged weight in the compute dtype."""
        weight = self._base.matrix(site)
        with deterministic(self._place, self._threads):
            if updates:
                weight = self._merged(site, updates).to(self._place.compute_dtype)
            return leading_triplets(weight.to(self._place.device), count)

    def rms_singular_value(self, site: str) -> float:
        """`||W||_F / sqrt(min(d_out, d_in))` of the base weight."""
        return w.rms_singular_value(self._base.matrix(site))

    def update(
        self,
        site: str,
        parametrisation: Parametrisation,
        frame: Frame | None,
        values: Mapping[str, NDArray[Any]],
    ) -> Update:
        """The update of a site for these trained values."""
        exact = {name: np.asarray(value, dtype=np.float64) for name, value in values.items()}
        return update_of(site, parametrisation, frame, exact)

    def merged(self, site: str, updates: SiteUpdates = ()) -> NDArray[Any]:
        """`W_0 + sum_t s_t dW_t (d_out, d_in)` in the master dtype; a copy. Raises `NonFiniteError`."""
        with deterministic(self._place, self._threads):
            return self._merged(site, updates).cpu().numpy()

    def _merged(self, site: str, updates: SiteUpdates) -> Tensor:
        with torch.no_grad():
            total = self._base.matrix(site).to(self._place.device, self._place.master_dtype, copy=True)
            w.merge_into(total, updates, site)
        return total
