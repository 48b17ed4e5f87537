"""What every basis must do."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ..contracts import Basis, FactoredUpdate, Frame, InformedBasis
from ..rank import overlap, rank_of
from .assertions import assert_orthonormal
from .evidence import random_evidence
from .strategies import MatrixSite, inherited, seeds

shapes = st.tuples(st.integers(2, 24), st.integers(2, 24))


class BasisContract:
    """Inherit, and implement `make`; set `orthogonal` and `grows` to what the basis promises."""

    orthogonal = False
    """Whether rounds within capacity share no direction."""
    grows = False
    """Whether the rank of T rounds with nonsingular cores is `min(T r, d_out, d_in)`."""
    most_rank: int | None = None
    """With this many times r as the most that any number of rounds can span; None: no such bound."""

    def make(self) -> Basis | InformedBasis:
        """A basis, as a spec would make it."""
        raise NotImplementedError

    def frame(self, site: MatrixSite, number: int, rank: int, seed: int) -> Frame:
        """Round `number`'s frame; a basis that hears the data hears a new random gradient every round."""
        return frame_of(self.make(), site, number, rank, seed)

    def _rounds(self, shape: tuple[int, int], rank: int, seed: int) -> tuple[MatrixSite, list[Frame]]:
        """As many rounds as the basis can serve, four at most."""
        site = MatrixSite(np.random.default_rng(seed).standard_normal(shape))
        capacity = self.make().capacity(rank, min(shape))
        for number in range(4 if capacity is None else min(4, capacity)):
            site.used.append(self.frame(site, number, rank, seed))
        return site, site.used

    @given(shapes, st.integers(1, 4), seeds)
    @inherited
    def test_frame_of_any_round_is_orthonormal_and_shaped(
        self, shape: tuple[int, int], rank: int, seed: int
    ) -> None:
        _, frames = self._rounds(shape, rank, seed)
        for frame in frames:
            assert_legal(frame, shape, rank)

    @given(shapes, st.integers(1, 4), seeds)
    @inherited
    def test_frame_with_the_same_stream_is_the_same(
        self, shape: tuple[int, int], rank: int, seed: int
    ) -> None:
        _, one = self._rounds(shape, rank, seed)
        _, two = self._rounds(shape, rank, seed)
        for a, b in zip(one, two, strict=True):
            np.testing.assert_array_equal(a.U, b.U)
            np.testing.assert_array_equal(a.V, b.V)

    @given(shapes, st.integers(1, 4), seeds)
    @inherited
    def test_rounds_within_capacity_keep_their_promise(
        self, shape: tuple[int, int], rank: int, seed: int
    ) -> None:
        _, frames = self._rounds(shape, rank, seed)
        rng = np.random.default_rng(seed)
        updates = [FactoredUpdate(frame=f, core=_nonsingular(rng, rank)) for f in frames]
        found = rank_of([(update, 1.0) for update in updates], shape).rank
        if self.grows:
            assert found == min(len(frames) * rank, *shape)
        if self.most_rank is not None:
            assert found <= self.most_rank * rank
        if self.orthogonal:
            for t, update in enumerate(updates):
                assert_apart(update.frame, [earlier.frame for earlier in updates[:t]])

    @given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 30))
    @inherited
    def test_depth_and_capacity_stay_within_the_width(self, rank: int, width: int, rounds: int) -> None:
        basis = self.make()
        assert 0 <= basis.depth(rounds, rank, width) <= max(width, rank)
        capacity = basis.capacity(rank, width)
        if rank > width:
            assert capacity == 0, "a frame of more columns than directions cannot be served"
        assert capacity is None or capacity >= 0
        assert basis.exhausted in {"error", "stop", "wrap"}


def frame_of(basis: Basis | InformedBasis, site: MatrixSite, number: int, rank: int, seed: int) -> Frame:
    """The frame that any basis gives a lone site, from streams and evidence that `(seed, number)` decide."""
    if isinstance(basis, InformedBasis):
        evidence = random_evidence([site], np.random.default_rng([seed, number, 1]))
        frames = basis.frames([site], number, rank, evidence, lambda _: np.random.default_rng([seed, number]))
        return frames[site.name]
    return basis.frame(site, number, rank, np.random.default_rng([seed, number]))


def assert_legal(frame: Frame, shape: tuple[int, int], rank: int) -> None:
    """Shapes, finite singular values, orthonormal columns."""
    assert frame.U.shape == (shape[0], rank)
    assert frame.S.shape == (rank,)
    assert frame.V.shape == (shape[1], rank)
    assert np.isfinite(frame.S).all()
    assert_orthonormal(frame.U, what="U")
    assert_orthonormal(frame.V, what="V")


def assert_apart(frame: Frame, earlier: list[Frame]) -> None:
    """No direction of an earlier frame again, on either side: cosines of `4 eps max(d_out, d_in)` are rounding."""
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
