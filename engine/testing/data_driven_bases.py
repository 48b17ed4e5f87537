"""The contract of data-driven bases, in addition to that of every basis."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ..contracts import Basis, Frame
from ..errors import ExhaustedError
from .bases import BasisContract, assert_apart, assert_legal, frame_of, shapes
from .oracles import MatrixOracle, random_oracle, zero_oracle
from .strategies import MatrixSite, contract_settings, seeds


class DataDrivenBasisContract(BasisContract):
    """Contract tests, as in `BasisContract`: inherit, implement `make`, set `orthogonal` and `grows`."""

    def make(self) -> Basis:
        """A basis, as built from a spec."""
        raise NotImplementedError

    def _first_frame(self, site: MatrixSite, rank: int, seed: int, oracle: MatrixOracle) -> Frame:
        """The first round's frame, from this oracle."""
        frames = self.make().frames([site], (), rank, oracle, lambda _: np.random.default_rng(seed))
        return frames[site.name]

    @given(shapes, st.integers(1, 4), seeds)
    @contract_settings
    def test_calibration_bounds_passes_and_columns(
        self, shape: tuple[int, int], rank: int, seed: int
    ) -> None:
        site = MatrixSite(np.random.default_rng(seed).standard_normal(shape))
        if rank > min(shape):
            return
        calibration = self.make().calibration(rank)
        assert calibration is not None
        oracle = random_oracle([site], np.random.default_rng(seed), calibration.batches)
        self._first_frame(site, rank, seed, oracle)
        assert calibration.source in {"chosen", "failures", "all"}
        assert calibration.examples >= 0
        assert calibration.batches >= 1
        assert oracle.passes <= calibration.passes
        assert oracle.columns <= calibration.columns

    @given(shapes, st.integers(1, 4), seeds)
    @contract_settings
    def test_frame_from_zero_gradients_is_legal(self, shape: tuple[int, int], rank: int, seed: int) -> None:
        site = MatrixSite(np.random.default_rng(seed).standard_normal(shape))
        if rank > min(shape):
            return
        assert_legal(self._first_frame(site, rank, seed, zero_oracle([site])), shape, rank)

    @given(shapes, st.integers(1, 4), seeds)
    @contract_settings
    def test_frame_after_rounds_of_another_basis_keeps_its_promise(
        self, shape: tuple[int, int], rank: int, seed: int
    ) -> None:
        rng = np.random.default_rng(seed)
        site = MatrixSite(rng.standard_normal(shape))
        site.used += [random_frame(rng, shape, 1) for _ in range(min(3, min(shape) - rank))]
        if rank > min(shape):
            return
        frame = frame_of(self.make(), site, [1] * len(site.used), rank, seed)
        assert_legal(frame, shape, rank)
        if self.orthogonal:
            assert_apart(frame, site.used)

    @given(shapes, st.integers(1, 4), seeds)
    @contract_settings
    def test_frame_where_too_few_directions_are_left_is_legal_or_refused(
        self, shape: tuple[int, int], rank: int, seed: int
    ) -> None:
        """As after rounds of another rank: an unlimited basis must give a frame, others may raise `ExhaustedError`."""
        if rank > min(shape):
            return
        rng = np.random.default_rng(seed)
        site = MatrixSite(rng.standard_normal(shape))
        site.used.append(random_frame(rng, shape, min(shape) - rank + 1))
        frame, refusal = None, ""
        try:
            frame = frame_of(self.make(), site, [min(shape) - rank + 1], rank, seed)
        except ExhaustedError as error:
            refusal = str(error)
        if frame is not None:
            assert_legal(frame, shape, rank)
        else:
            assert self.make().capacity(min(shape)) is not None, (
                "a basis with unlimited capacity raised ExhaustedError"
            )
            assert site.name in refusal, "the message names the site"

    @given(shapes, shapes, seeds)
    @contract_settings
    def test_frame_of_a_site_does_not_depend_on_its_neighbours(
        self, shape: tuple[int, int], other: tuple[int, int], seed: int
    ) -> None:
        rng = np.random.default_rng(seed)
        site, neighbour = (MatrixSite(rng.standard_normal(s)) for s in (shape, other))
        neighbour.name = "layers.1.weight"
        oracle = random_oracle([site, neighbour], rng)
        alone = self._first_frame(site, 1, seed, oracle)
        frames = self.make().frames(
            [neighbour, site], (), 1, oracle, lambda name: np.random.default_rng(seed + (name != site.name))
        )
        np.testing.assert_array_equal(alone.U, frames[site.name].U)
        np.testing.assert_array_equal(alone.V, frames[site.name].V)
        assert_legal(frames[neighbour.name], other, 1)


def random_frame(rng: np.random.Generator, shape: tuple[int, int], rank: int) -> Frame:
    """A frame of random orthonormal columns, as from another basis."""
    U, V = (np.linalg.qr(rng.standard_normal((d, rank)))[0] for d in shape)
    return Frame(U=U, S=np.ones(rank), V=V)
