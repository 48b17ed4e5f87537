"""Many rounds as one pair of factors, whose product is their sum."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.engine.contracts import FactoredUpdate, Frame
from boostlora.engine.testing import assert_close
from boostlora.engine.testing.assertions import EPS
from boostlora.plugins.exporters._peft.factors import balanced, stacked, truncated

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9))
MAGNITUDES = st.sampled_from([1e-7, 1e-3, 1.0, 1e4])


@st.composite
def ensembles(draw, *, same=False):
    """One site's updates: `T` rounds of any ranks in random directions, or (`same`) all in the same ones."""
    d_out, d_in = draw(SHAPES)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    width = min(d_out, d_in)
    updates, first = [], None
    for _ in range(draw(st.integers(1, 5))):
        if first is None or not same:
            r = draw(st.integers(1, width))
            U, V = (np.linalg.qr(rng.standard_normal((d, r)))[0] for d in (d_out, d_in))
            first = Frame(U=U, S=np.sort(rng.uniform(0.1, 9.0, r))[::-1], V=V)
        core = rng.standard_normal((first.rank, first.rank)) * draw(MAGNITUDES)
        exponents = draw(st.sampled_from([(0.0, 0.0), (0.5, 0.5), (1.0, 0.0)]))
        update = FactoredUpdate(frame=first, core=core, exponents=exponents)
        updates.append((update, draw(st.sampled_from([-1.0, 0.3, 1.0]))))
    return updates


def dense(updates):
    """`sum_t s_t U S^a R S^b V^T`, each product by itself."""
    total = np.zeros(updates[0][0].shape)
    for update, scale in updates:
        (a, b), frame = update.exponents, update.frame
        total += scale * (frame.U * frame.S**a) @ update.core @ (frame.V * frame.S**b).T
    return total


def rounding(updates):
    """A bound on the rounding of their sum in float64: of every product, ranks and rounds of at most nine."""
    sizes = [np.linalg.norm(L) * np.linalg.norm(M) * abs(s) for u, s in updates for L, M in (u.factors(),)]
    return 16 * EPS * sum(sizes) * len(sizes)


@given(ensembles())
def test_stacked_factors_of_any_rounds_multiply_to_their_sum(updates):
    B, A = stacked(updates)
    assert B.shape[1] == len(A) == sum(update.frame.rank for update, _ in updates)
    assert_close(B @ A, dense(updates), atol=rounding(updates), what="B A")


@given(ensembles())
def test_compact_factors_of_any_rounds_multiply_to_their_sum(updates):
    B, A = truncated(*stacked(updates))
    assert 1 <= len(A) <= min(updates[0][0].shape)
    # What is dropped is below max(d) eps |B| |A|, and the stacked factors' norms are sums over the rounds'.
    assert_close(B @ A, dense(updates), atol=4 * len(updates) * rounding(updates), what="B A")


@given(ensembles(same=True))
def test_compact_factors_of_rounds_in_the_same_directions_have_their_rank(updates):
    B, A = truncated(*stacked(updates))
    assert len(A) <= updates[0][0].frame.rank < 10
    assert_close(B @ A, dense(updates), atol=4 * len(updates) * rounding(updates), what="B A")


def test_compact_rank_of_fixed_directions_is_that_of_one_round():
    rng = np.random.default_rng(0)
    U, V = (np.linalg.qr(rng.standard_normal((d, 3)))[0] for d in (40, 30))
    frame = Frame(U=U, S=np.array([3.0, 2.0, 1e-6]), V=V)
    updates = [
        (FactoredUpdate(frame=frame, core=rng.standard_normal((3, 3)), exponents=(0.5, 0.5)), 1.0)
        for _ in range(8)
    ]
    B, A = stacked(updates)
    assert len(A) == 24
    B, A = truncated(B, A)
    assert len(A) == 3 == np.linalg.matrix_rank(dense(updates))
    sizes = np.linalg.norm(B, axis=0), np.linalg.norm(A, axis=1)
    assert_close(sizes[0], sizes[1], atol=1e-12, what="sqrt(s) on both sides")


def test_compact_factors_of_cancelling_rounds_have_one_near_zero_column():
    frame = Frame(U=np.eye(6)[:, :2], S=np.ones(2), V=np.eye(5)[:, :2])
    updates = [(FactoredUpdate(frame=frame, core=np.array([[1.0, 2.0], [0.0, 1.0]])), s) for s in (0.1, -0.1)]
    B, A = truncated(*stacked(updates))
    assert (B.shape, A.shape) == ((6, 1), (1, 5))
    assert_close(B @ A, np.zeros((6, 5)), atol=4 * EPS, what="nothing")


@given(st.integers(0, 2**32 - 1), st.floats(-25, 25), st.floats(-25, 25))
def test_balanced_factors_are_of_one_size_and_round_as_before(seed, left, right):
    rng = np.random.default_rng(seed)
    B, A = rng.standard_normal((7, 3)) * 2.0**left, rng.standard_normal((3, 5)) * 2.0**right
    new_B, new_A = balanced(B, A)
    ratio = np.abs(new_B).max(axis=0) / np.abs(new_A).max(axis=1)
    assert np.all((ratio >= 0.5) & (ratio <= 2.0))
    assert_close(new_B @ new_A, B @ A, atol=0.0, what="product, bit for bit")
    single = [x.astype(np.float32) for x in (B, A, new_B, new_A)]
    assert_close(single[2] @ single[3], single[0] @ single[1], atol=0.0, what="product of float32")


def test_balanced_factors_keep_a_column_of_zeros():
    B, A = balanced(np.array([[0.0, 4.0]]), np.array([[3.0], [0.25]]))
    assert B.tolist() == [[0.0, 1.0]]
    assert A.tolist() == [[3.0], [1.0]]


def test_balanced_factors_survive_float16_where_unbalanced_ones_underflow():
    rng = np.random.default_rng(1)
    L, M = 1e3 * rng.standard_normal((20, 2)), 1e-8 * rng.standard_normal((2, 30))
    exact = L @ M

    def error(B, A):
        product = B.astype(np.float16).astype(np.float64) @ A.astype(np.float16).astype(np.float64)
        return np.linalg.norm(product - exact) / np.linalg.norm(exact)

    assert error(*balanced(L, M)) < 2 * 2.0**-11
    assert error(L, M) == pytest.approx(1.0, abs=0.1)
