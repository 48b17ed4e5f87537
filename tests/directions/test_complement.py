import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.engine.sdk.directions import OrthogonalComplement
from boostlora.engine.testing import assert_close, assert_same_subspace
from boostlora.engine.testing.assertions import EPS, assert_orthonormal
from boostlora.engine.testing.strategies import contract_settings, seeds


@given(st.integers(1, 30), st.integers(0, 40), seeds)
@contract_settings
def test_columns_that_depend_on_each_other_are_counted_once(d, columns, seed):
    rng = np.random.default_rng(seed)
    rank = min(d, columns, 3)
    M = rng.standard_normal((d, rank)) @ rng.standard_normal((rank, columns))
    side = OrthogonalComplement.of(d, [M[:, :5], M[:, 5:]])
    assert side.dimension == d - rank
    assert_orthonormal(side.P, what="P")
    assert_close(
        side.project(M),
        np.zeros(M.shape),
        atol=100 * EPS * max(1.0, np.abs(M).max(initial=0.0)) * d,
        what="M is used up",
    )


def test_orthonormal_columns_serve_as_they_are():
    Q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((9, 4)))
    np.testing.assert_array_equal(OrthogonalComplement.of(9, [Q[:, :1], Q[:, 1:]]).P, Q)


def test_columns_from_single_precision_are_removed_to_double():
    Q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((60, 8)))
    M = Q.astype(np.float32).astype(np.float64)
    X = OrthogonalComplement.of(60, [M]).orthonormal(np.random.default_rng(1).standard_normal((60, 3)))
    assert_close(M.T @ X, np.zeros((8, 3)), atol=4 * EPS * 60, what="orthogonal to what was stored")


def test_projection_of_what_is_nearly_used_up_leaves_no_rounding_of_it():
    rng = np.random.default_rng(0)
    P, y = np.linalg.qr(rng.standard_normal((50, 10)))[0], rng.standard_normal((50, 1))
    found = OrthogonalComplement.of(50, [P]).project(1e8 * P[:, :1] + y)
    assert_close(P.T @ found, np.zeros((10, 1)), atol=4 * EPS * np.linalg.norm(y), what="what was removed")


@given(st.integers(1, 30), st.integers(0, 29), st.integers(0, 6), seeds)
@contract_settings
def test_span_leads_with_what_it_is_given_and_fills_up(d, used, given_columns, seed):
    rng = np.random.default_rng(seed)
    side = OrthogonalComplement.of(d, [np.linalg.qr(rng.standard_normal((d, min(used, d - 1))))[0]])
    count = min(4, side.dimension)
    X = rng.standard_normal((d, given_columns)) if given_columns else np.zeros((d, 2))
    Q = side.span(X, count, rng)
    assert Q.shape == (d, count)
    assert_orthonormal(Q, what="Q")
    assert_close(side.P.T @ Q, np.zeros((side.P.shape[1], count)), atol=4 * EPS * d, what="in the complement")
    if 0 < given_columns <= count:
        projected = np.linalg.qr(side.project(X))[0]
        assert_same_subspace(
            Q[:, :given_columns],
            projected,
            atol=1e-9,
            what="X",  # rounding over X's condition
        )


def test_span_of_what_is_used_up_is_random_and_no_rounding():
    rng = np.random.default_rng(0)
    P = np.linalg.qr(rng.standard_normal((50, 10)))[0]
    side, X = OrthogonalComplement.of(50, [P]), P @ rng.standard_normal((10, 3))
    one, two = (side.span(X, 3, np.random.default_rng(s)) for s in (1, 2))
    assert np.linalg.norm(one.T @ two, 2) < 0.9, "the stream decides, not what rounding left of X"


@pytest.mark.parametrize("count", [1, 5, 20])
def test_random_directions_are_those_of_the_stream(count):
    side = OrthogonalComplement.of(25, [np.eye(25)[:, :5]])
    one, two = (side.random(count, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert_orthonormal(one, what="random columns")
    assert not one[:5].any() or np.abs(one[:5]).max() < 4 * EPS


def test_random_directions_are_uniform_over_the_complement():
    side = OrthogonalComplement.of(6, [np.eye(6)[:, :2]])
    rng = np.random.default_rng(0)
    mean = sum(Q @ Q.T for Q in (side.random(2, rng) for _ in range(4000))) / 4000
    # an entry's variance is below 1/4; 5 standard errors of 4000 draws
    assert_close(
        mean, np.diag([0, 0, 0.5, 0.5, 0.5, 0.5]), atol=5 * 0.5 / np.sqrt(4000), what="mean projector"
    )
