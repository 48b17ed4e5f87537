"""Base weights without a network, merged one site at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from ...engine.contracts import Frame, ModelSource, Parametrisation, Site, SiteUpdates, Update
from . import weights as w
from .arrays import Matrix
from .factorise import leading_triplets
from .trainables import bind


class ReferenceStore:
    """The weights that `ReferenceModel` would have, computed with the same operations."""

    def __init__(self, source: ModelSource, sites: Sequence[Site], threads: int, dtype: str) -> None:
        self._source, self._dtype, self._threads = source, np.dtype(dtype), threads
        self._shapes = {site.name: site.shape for site in sites}
        self._blas = ThreadpoolController()

    def directions(self, site: str, count: int, updates: SiteUpdates = ()) -> Frame:
        """The `count` leading singular triplets of the base weight, or of the merged weight; always in float64."""
        weight = self.merged(site, updates)
        with self._blas_limit():
            return leading_triplets(weight.astype(np.float64, copy=False), count)

    def rms_singular_value(self, site: str) -> float:
        """`||W||_F / sqrt(min(d_out, d_in))` of the base weight."""
        weight = self._base(site).astype(np.float64, copy=False)
        return float(np.linalg.norm(weight) / np.sqrt(min(weight.shape)))

    def update(
        self,
        site: str,
        parametrisation: Parametrisation,
        frame: Frame | None,
        values: Mapping[str, NDArray[Any]],
    ) -> Update:
        """The update of a site for these trained values."""
        own = {name: np.asarray(value, dtype=self._dtype) for name, value in values.items()}
        return bind(site, self._shapes[site], parametrisation, frame).update(own)

    def merged(self, site: str, updates: SiteUpdates = ()) -> NDArray[Any]:
        """`W_0 + sum_t s_t dW_t (d_out, d_in)`. Raises `NonFiniteError`."""
        with self._blas_limit():
            return w.merged(self._base(site), updates, site)

    def _base(self, site: str) -> Matrix:
        return w.load(self._source, [site], self._dtype)[site]

    def _blas_limit(self) -> AbstractContextManager[object]:
        return self._blas.limit(limits=self._threads, user_api="blas")
