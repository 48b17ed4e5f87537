import numpy as np
import pytest

from boostlora.engine.contracts import FactoredUpdate
from boostlora.engine.sdk.rank import overlap, rank_of
from boostlora.engine.testing import BasisContract
from boostlora.engine.testing.strategies import MatrixSite
from boostlora.plugins.bases.fixed import Fixed
from boostlora.plugins.bases.random import Random
from boostlora.plugins.bases.refresh import Refresh
from boostlora.plugins.bases.rotate import Rotate
from boostlora.plugins.bases.tail import Tail


class TestRotate(BasisContract):
    orthogonal = grows = True

    def make(self):
        return Rotate()


class TestRotateStopping(BasisContract):
    orthogonal = grows = True

    def make(self):
        return Rotate(exhausted="stop")


class TestRotateWrapping(BasisContract):
    def make(self):
        return Rotate(exhausted="wrap")


class TestTail(BasisContract):
    orthogonal = grows = True

    def make(self):
        return Tail()


class TestFixed(BasisContract):
    most_rank = 1

    def make(self):
        return Fixed()


class TestRandom(BasisContract):
    grows = True

    def make(self):
        return Random()


class TestRefresh(BasisContract):
    most_rank = 1  # the merged weight of the suite's site does not change

    def make(self):
        return Refresh()


def test_rotate_takes_the_largest_directions_first_and_tail_the_smallest():
    W = np.diag([5.0, 4.0, 3.0, 2.0, 1.0])
    rng = np.random.default_rng(0)
    rotated = [Rotate().frame(MatrixSite(W), [2] * t, 2, rng).S.tolist() for t in range(2)]
    assert rotated == [[5.0, 4.0], [3.0, 2.0]]
    assert [Tail().frame(MatrixSite(W), [2] * t, 2, rng).S.tolist() for t in range(2)] == [
        [1.0, 2.0],
        [3.0, 4.0],
    ]


@pytest.mark.parametrize("basis", [Rotate, Tail])
def test_blocks_end_with_the_directions_unless_they_wrap(basis):
    assert basis().capacity(64) == basis(exhausted="stop").capacity(64) == 64
    assert basis(exhausted="wrap").capacity(64) is None


def test_rotate_continues_after_earlier_rounds_of_any_rank():
    W, rng = np.diag(np.arange(9.0, 0.0, -1.0)), np.random.default_rng(0)
    taken = [
        Rotate().frame(MatrixSite(W), earlier, rank, rng).S.tolist()
        for earlier, rank in (((), 4), ([4], 1), ([4, 1], 2), ([4, 1, 0], 3))
    ]
    assert taken == [[9.0, 8.0, 7.0, 6.0], [5.0], [4.0, 3.0], [4.0, 3.0, 2.0]]


def test_rotate_that_wraps_starts_again_at_the_first_block():
    site, rng = MatrixSite(np.random.default_rng(0).standard_normal((6, 5))), np.random.default_rng(0)
    basis = Rotate(exhausted="wrap")
    np.testing.assert_array_equal(basis.frame(site, [], 2, rng).U, basis.frame(site, [2, 2], 2, rng).U)


@pytest.mark.parametrize(
    ("ranks", "starts"),
    [([2, 2, 2, 2, 2], [0, 2, 0, 2, 0]), ([4, 2, 1, 3, 3], [0, 0, 2, 0, 0]), ([1, 4, 5, 1], [0, 1, 0, 0])],
)
def test_wrapping_blocks_restart_when_a_round_does_not_fit(ranks, starts):
    blocks = list(Rotate(exhausted="wrap").blocks(ranks, 5))
    assert [block.start for block in blocks] == starts
    assert [len(block) for block in blocks] == ranks
    assert Rotate().depth(ranks, 5) == max(block.stop for block in blocks)


def test_refresh_overlaps_after_merges_and_rotate_does_not():
    rng = np.random.default_rng(0)
    W = rng.standard_normal((48, 64))
    W *= 1.0 / np.linalg.norm(W, 2)
    ranks, overlaps = {}, {}
    for name, basis in {"rotate": Rotate(), "refresh": Refresh()}.items():
        merged, updates = W.copy(), []
        for t in range(6):
            frame = basis.frame(MatrixSite(W, merged), [2] * t, 2, rng)
            update = FactoredUpdate(frame=frame, core=0.05 * rng.standard_normal((2, 2)))
            overlaps[name] = max(overlaps.get(name, 0.0), overlap(update, updates) or 0.0)
            updates.append(update)
            L, M = update.factors()
            merged = merged + L @ M.T
        ranks[name] = rank_of([(u, 1.0) for u in updates], W.shape).rank
    assert ranks["rotate"] == 12
    assert overlaps["rotate"] < 1e-12
    assert overlaps["refresh"] > 0.5
