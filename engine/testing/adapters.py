"""The contract of every adapter."""

from __future__ import annotations

import numpy as np

from ..contracts import Adapter, DenseDelta, FreeFactors, LinearCore, Parametrisation
from .strategies import SITES


class AdapterContract:
    """Contract tests: inherit, and implement `make`."""

    starts_at_zero = True
    """Whether a round's update is zero before its first step."""

    def make(self) -> Adapter:
        """An adapter, as built from a spec."""
        raise NotImplementedError

    def _all(self, seed: int = 0) -> list[Parametrisation]:
        adapter = self.make()
        streams = [np.random.default_rng([seed, i]) for i in range(len(SITES))]
        return [adapter.parametrise(s, SITES, rng) for s, rng in zip(SITES, streams, strict=True)]

    def test_parametrisation_of_every_site_fits_its_shape(self) -> None:
        for site, p in zip(SITES, self._all(), strict=True):
            if isinstance(p, LinearCore):
                assert p.rank == self.make().rank
                u = p.rank**2 if p.projections is None else len(p.projections)
                assert p.init.shape == (u,)
                assert p.projections is None or p.projections.shape == (u, p.rank, p.rank)
            elif isinstance(p, FreeFactors):
                assert p.A.shape == (p.rank, site.shape[1])
            else:
                assert isinstance(p, DenseDelta)

    def test_framed_adapters_train_linear_cores_and_others_do_not(self) -> None:
        assert {isinstance(p, LinearCore) for p in self._all()} == {self.make().framed}

    def test_parametrisation_with_the_same_stream_is_the_same(self) -> None:
        for one, two in zip(self._all(), self._all(), strict=True):
            if isinstance(one, LinearCore) and isinstance(two, LinearCore):
                assert one.group == two.group
                np.testing.assert_array_equal(one.init, two.init)
                np.testing.assert_array_equal(one.projections, two.projections)
            elif isinstance(one, FreeFactors) and isinstance(two, FreeFactors):
                np.testing.assert_array_equal(one.A, two.A)

    def test_tied_sites_have_vectors_of_one_length(self) -> None:
        lengths = dict[str, int]()
        for p in self._all():
            if isinstance(p, LinearCore):
                assert lengths.setdefault(p.group, p.init.size) == p.init.size

    def test_start_is_zero_where_promised(self) -> None:
        starts = [float(np.abs(p.init).max()) for p in self._all() if isinstance(p, LinearCore)]
        assert not starts or (max(starts) == 0.0) == self.starts_at_zero
