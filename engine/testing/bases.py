"""The contract of every basis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ..contracts import Basis, FactoredUpdate, Frame
from ..sdk.rank import overlap, rank_of
from ..spec.ranks import Ranks
from .assertions import assert_orthonormal
from .oracles import random_oracle
from .strategies import MatrixSite, contract_settings, seeds

shapes = st.tuples(st.integers(2, 24), st.integers(2, 24))
schedules = st.one_of(
    st.integers(1, 4).map(lambda rank: [rank] * 4),
    st.lists(st.integers(1, 5), min_size=1, max_size=5),
)
"""Ranks of rounds: constant, or varying."""


class BasisContract:
    """Contract tests: inherit, and implement `make`; set `orthogonal` and `grows` to what the basis guarantees."""

    orthogonal = False
    """Whether rounds within capacity are mutually orthogonal on both sides."""
    grows = False
    """Whether the rank of T rounds with nonsingular cores is `min(T r, d_out, d_in)`."""
    most_rank: int | None = None
    """The rank of any number of rounds is at most this multiple of r; None: no bound."""

    def make(self) -> Basis:
        """A basis, as built from a spec."""
        raise NotImplementedError

    def frame(self, site: MatrixSite, earlier: Sequence[int], rank: int, seed: int) -> Frame:
        """The frame of the next round, after rounds of the ranks `earlier`; data-driven bases get a new random gradient every round."""
        return frame_of(self.make(), site, earlier, rank, seed)

    def _rounds(self, shape: tuple[int, int], ranks: Sequence[int], seed: int) -> list[Frame]:
        """Frames of rounds of these ranks, as many as the basis can serve, from as many directions as its `depth` declares."""
        basis, width = self.make(), min(shape)
        served = Ranks(usual=1, listed=ranks).served(width, basis.capacity(width))
        ranks = ranks if served is None else ranks[:served]
        W = np.random.default_rng(seed).standard_normal(shape)
        site = MatrixSite(W, depth=basis.depth(ranks, width))
        for number, rank in enumerate(ranks):
            site.used.append(self.frame(site, ranks[:number], rank, seed))
        return site.used

    @given(shapes, schedules, seeds)
    @contract_settings
    def test_frame_of_any_round_is_orthonormal_and_shaped(
        self, shape: tuple[int, int], ranks: list[int], seed: int
    ) -> None:
        for frame, rank in zip(self._rounds(shape, ranks, seed), ranks, strict=False):
            assert_legal(frame, shape, rank)

    @given(shapes, schedules, seeds)
    @contract_settings
    def test_frame_with_the_same_stream_is_the_same(
        self, shape: tuple[int, int], ranks: list[int], seed: int
    ) -> None:
        one, two = (self._rounds(shape, ranks, seed) for _ in range(2))
        for a, b in zip(one, two, strict=True):
            np.testing.assert_array_equal(a.U, b.U)
            np.testing.assert_array_equal(a.V, b.V)

    @given(shapes, schedules, seeds)
    @contract_settings
    def test_rounds_within_capacity_keep_their_promise(
        self, shape: tuple[int, int], ranks: list[int], seed: int
    ) -> None:
        frames = self._rounds(shape, ranks, seed)
        rng = np.random.default_rng(seed)
        updates = [FactoredUpdate(frame=f, core=_nonsingular(rng, f.rank)) for f in frames]
        found = rank_of([(update, 1.0) for update in updates], shape).rank
        if self.grows:
            assert found == min(sum(f.rank for f in frames), *shape)
        if self.most_rank is not None:
            assert found <= self.most_rank * max((f.rank for f in frames), default=0)
        if self.orthogonal:
            for t, update in enumerate(updates):
                assert_apart(update.frame, [earlier.frame for earlier in updates[:t]])

    @given(st.lists(st.integers(1, 40), max_size=30), st.integers(1, 50))
    @contract_settings
    def test_depth_and_capacity_stay_within_the_width(self, ranks: list[int], width: int) -> None:
        basis = self.make()
        capacity = basis.capacity(width)
        assert capacity is None or capacity >= 0
        served = Ranks(usual=1, listed=ranks).served(width, capacity)
        assert 0 <= basis.depth(ranks if served is None else ranks[:served], width) <= width
        assert basis.exhausted in {"error", "stop", "wrap"}


def frame_of(basis: Basis, site: MatrixSite, earlier: Sequence[int], rank: int, seed: int) -> Frame:
    """A basis's frame for a single site; stream and oracle depend on the seed and the number of rounds."""
    number = len(earlier)
    oracle = (
        random_oracle([site], np.random.default_rng([seed, number, 1])) if basis.calibration(rank) else None
    )
    frames = basis.frames([site], earlier, rank, oracle, lambda _: np.random.default_rng([seed, number]))
    return frames[site.name]


def assert_legal(frame: Frame, shape: tuple[int, int], rank: int) -> None:
    """Assert shapes, finite singular values and orthonormal columns."""
    assert frame.U.shape == (shape[0], rank)
    assert frame.S.shape == (rank,)
    assert frame.V.shape == (shape[1], rank)
    assert np.isfinite(frame.S).all()
    assert_orthonormal(frame.U, what="U")
    assert_orthonormal(frame.V, what="V")


def assert_apart(frame: Frame, earlier: list[Frame]) -> None:
    """Assert orthogonality to earlier frames on both sides: principal cosines at most `4 eps max(d_out, d_in)`."""
    core = np.eye(frame.rank)
    cosine = overlap(
        FactoredUpdate(frame=frame, core=core),
        [FactoredUpdate(frame=f, core=np.eye(f.rank)) for f in earlier],
    )
    allowed = 4 * np.finfo(np.float64).eps * max(frame.U.shape[0], frame.V.shape[0])
    assert cosine is None or cosine <= allowed, (
        f"cosine {cosine:.1e} with an earlier round, allowed {allowed:.1e}"
    )


def _nonsingular(rng: np.random.Generator, rank: int) -> NDArray[np.float64]:
    """A core with singular values between 1 and 2."""
    Q, _ = np.linalg.qr(rng.standard_normal((rank, rank)))
    P, _ = np.linalg.qr(rng.standard_normal((rank, rank)))
    return (Q * rng.uniform(1.0, 2.0, rank)) @ P
