import numpy as np
import pytest
import scipy.linalg
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from boostlora.engine.contracts import DenseUpdate, FactoredUpdate, Frame
from boostlora.engine.sdk.rank import overlap, rank_of, singular_values
from boostlora.engine.testing import assert_close
from boostlora.engine.testing.assertions import EPS
from boostlora.engine.testing.strategies import MatrixSite, seeds
from boostlora.plugins.bases.fixed import Fixed
from boostlora.plugins.bases.rotate import Rotate


def _update(rng, shape, rank, orthonormal=True):
    U, V = rng.standard_normal((shape[0], rank)), rng.standard_normal((shape[1], rank))
    if orthonormal:
        U, V = np.linalg.qr(U)[0], np.linalg.qr(V)[0]
    core = rng.standard_normal((rank, rank))
    return FactoredUpdate(frame=Frame(U=U, S=np.ones(rank), V=V), core=core, orthonormal=orthonormal)


@given(st.integers(2, 30), st.integers(2, 30), st.integers(1, 3), st.integers(1, 5), seeds)
def test_singular_values_from_factors_equal_those_of_the_dense_sum(rows, columns, rank, rounds, seed):
    rng = np.random.default_rng(seed)
    rank = min(rank, rows, columns)
    updates = [(_update(rng, (rows, columns), rank), float(rng.uniform(0.1, 2))) for _ in range(rounds)]
    dense = sum(s * L @ M.T for (u, s) in updates for L, M in [u.factors()])
    expected = np.linalg.svd(dense, compute_uv=False)
    found = np.zeros(max(len(expected), rank * rounds))
    sigma = singular_values(updates)
    found[: len(sigma)] = sigma
    assert_close(
        found[: len(expected)], expected, atol=100 * EPS * max(rows, columns) * expected[0], what="sigma"
    )


@given(st.integers(4, 40), st.integers(4, 40), st.integers(1, 4), st.integers(1, 8), seeds)
def test_rank_of_rotated_rounds_is_exactly_rounds_times_rank(rows, columns, rank, rounds, seed):
    rng = np.random.default_rng(seed)
    site = MatrixSite(rng.standard_normal((rows, columns)))
    rounds = min(rounds, min(rows, columns) // rank)
    frames = [Rotate().frame(site, [rank] * t, rank, rng) for t in range(rounds)]
    updates = [(FactoredUpdate(frame=f, core=_core(rng, rank)), 1.0) for f in frames]
    assert rank_of(updates, site.shape).rank == min(rounds * rank, rows, columns)


@given(st.integers(4, 40), st.integers(4, 40), st.integers(1, 4), st.integers(1, 8), seeds)
def test_rank_of_fixed_rounds_never_exceeds_the_rank_of_one(rows, columns, rank, rounds, seed):
    rng = np.random.default_rng(seed)
    site = MatrixSite(rng.standard_normal((rows, columns)))
    frames = [Fixed().frame(site, [rank] * t, rank, rng) for t in range(rounds)]
    updates = [(FactoredUpdate(frame=f, core=_core(rng, rank)), 1.0) for f in frames]
    assert rank_of(updates, site.shape).rank <= rank


def _core(rng, rank):
    """Nonsingular: singular values between 0.5 and 2."""
    Q, _ = np.linalg.qr(rng.standard_normal((rank, rank)))
    return Q * rng.uniform(0.5, 2.0, rank)


def test_effective_rank_of_equal_singular_values_is_their_number():
    frame = Frame(U=np.eye(6)[:, :3], S=np.ones(3), V=np.eye(5)[:, :3])
    equal = rank_of([(FactoredUpdate(frame=frame, core=np.eye(3)), 1.0)], (6, 5))
    assert (equal.rank, equal.effective) == (3, pytest.approx(3.0))
    lopsided = rank_of([(FactoredUpdate(frame=frame, core=np.diag([1.0, 1e-9, 1e-9])), 1.0)], (6, 5))
    assert lopsided.rank == 3
    assert lopsided.effective == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("orthonormal", [True, False])
def test_effective_rank_matches_scipys_entropy(orthonormal):
    rng = np.random.default_rng(4)
    rounds = [(_update(rng, (11, 8), 2, orthonormal=orthonormal), scale) for scale in (1.0, 0.3, -0.7)]
    dense = sum(scale * L @ M.T for scale, (L, M) in ((s, u.factors()) for u, s in rounds))
    expected = np.exp(scipy.stats.entropy(np.linalg.svd(dense, compute_uv=False)[:6]))
    assert rank_of(rounds, (11, 8)).effective == pytest.approx(expected, rel=1e-12)


def test_overlap_matches_scipys_smallest_principal_angle():
    rng = np.random.default_rng(5)
    new, *earlier = (_update(rng, (11, 8), 2) for _ in range(4))
    cosines = [
        np.cos(scipy.linalg.subspace_angles(getattr(new.frame, side), getattr(other.frame, side)).min())
        for other in earlier
        for side in "UV"
    ]
    assert overlap(new, earlier) == pytest.approx(max(cosines), rel=1e-12)


def test_rank_without_updates_and_of_zero_updates_is_zero():
    zero = FactoredUpdate(
        frame=Frame(U=np.eye(4)[:, :2], S=np.ones(2), V=np.eye(4)[:, :2]), core=np.zeros((2, 2))
    )
    for updates in ([], [(zero, 1.0)], [(_update(np.random.default_rng(0), (4, 4), 2), 0.0)]):
        report = rank_of(updates, (4, 4))
        assert (report.rank, report.effective) == (0, 0.0)


@pytest.mark.parametrize("shape", [(3, 6), (6, 3)])
def test_rank_of_a_dense_update_is_its_own(shape):
    delta = np.outer(np.arange(1.0, shape[0] + 1), np.ones(shape[1]))
    assert rank_of([(DenseUpdate(delta=delta), 0.5)], shape).rank == 1


def test_overlap_of_the_same_directions_is_one_and_of_disjoint_ones_zero():
    def frame(columns):
        return FactoredUpdate(
            frame=Frame(U=np.eye(8)[:, columns], S=np.ones(2), V=np.eye(8)[:, columns]), core=np.eye(2)
        )

    assert overlap(frame([0, 1]), [frame([2, 3]), frame([4, 5])]) == 0.0
    assert overlap(frame([0, 1]), [frame([2, 3]), frame([1, 5])]) == 1.0
    assert overlap(frame([0, 1]), []) is None
    assert overlap(DenseUpdate(delta=np.eye(8)), [frame([0, 1])]) is None


def test_overlap_of_free_factors_is_taken_between_subspaces():
    rng = np.random.default_rng(0)
    update = _update(rng, (9, 8), 2, orthonormal=False)
    mixed = FactoredUpdate(
        frame=Frame(U=update.frame.U @ [[2.0, 1.0], [0.0, 5.0]], S=np.ones(2), V=rng.standard_normal((8, 2))),
        core=np.eye(2),
        orthonormal=False,
    )
    assert overlap(mixed, [update]) == pytest.approx(1.0)


def factors(B, A):
    return FactoredUpdate(
        frame=Frame(U=B, S=np.ones(B.shape[1]), V=A.T), core=np.eye(B.shape[1]), orthonormal=False
    )


def test_overlap_of_free_factors_is_that_of_what_they_multiply_to():
    """Dependent and zero columns span nothing, and QR would fill them up, always with the same ones."""
    I, J, rng = np.eye(32), np.eye(64), np.random.default_rng(0)  # noqa: E741
    zero = [factors(np.zeros((32, 4)), J[a : a + 4]) for a in (0, 8)]
    assert overlap(zero[0], zero[1:]) is None
    alone = [factors(np.outer(I[i], rng.standard_normal(4)), J[a : a + 4]) for i, a in ((0, 0), (1, 8))]
    assert overlap(alone[0], alone[1:]) == pytest.approx(0.0, abs=1e-15)
    assert overlap(alone[0], [zero[1]]) is None
    assert overlap(alone[0], [zero[1], alone[0]]) == pytest.approx(1.0)
    # One column of B makes of four rows of A one direction, and that is what another round must share to overlap.
    row = rng.standard_normal(4) @ J[:4]
    single = factors(I[:, :1], row[None])
    doubled = factors(np.outer(I[0], [1.0, 0.0, 0.0, 0.0]), np.vstack([row, J[20:23]]))
    assert overlap(doubled, [factors(I[:, 5:6], J[20:21])]) == pytest.approx(0.0, abs=1e-14)
    assert overlap(doubled, [single]) == pytest.approx(1.0)


def test_overlap_of_a_zero_update_is_none():
    frame = Frame(U=np.eye(8)[:, :2], S=np.ones(2), V=np.eye(8)[:, :2])
    still, moved = (FactoredUpdate(frame=frame, core=core) for core in (np.zeros((2, 2)), np.eye(2)))
    assert overlap(still, [moved]) is None
    assert overlap(moved, [still]) is None
    assert overlap(moved, [still, moved]) == 1.0
