"""Properties of merged weights over random shapes, ranks and rounds."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from boostlora.backends.reference.weights import dense, merged
from boostlora.engine.contracts import FactoredUpdate, Frame
from boostlora.engine.testing import assert_close
from boostlora.engine.testing.assertions import EPS
from boostlora.engine.testing.strategies import seeds

shapes = st.tuples(st.integers(1, 20), st.integers(1, 20))


def _rounds(rng, shape, count):
    """Updates of rank 1 to 3 over five orders of magnitude, with scales."""
    found = []
    for _ in range(count):
        rank = int(rng.integers(1, min(3, *shape) + 1))
        U, _ = np.linalg.qr(rng.standard_normal((shape[0], rank)))
        V, _ = np.linalg.qr(rng.standard_normal((shape[1], rank)))
        core = rng.standard_normal((rank, rank)) * 10.0 ** rng.uniform(-4, 1)
        frame = Frame(U=U, S=rng.uniform(0.1, 2.0, rank), V=V)
        found.append(
            (FactoredUpdate(frame=frame, core=core, exponents=(0.5, 0.5)), float(rng.uniform(0.1, 1.5)))
        )
    return found


@given(shapes, st.integers(1, 10), seeds)
def test_merge_order_is_irrelevant_within_rounding(shape, count, seed):
    rng = np.random.default_rng(seed)
    W, rounds = rng.standard_normal(shape), _rounds(rng, shape, count)
    shuffled = [rounds[i] for i in rng.permutation(count)]
    size = np.abs(W).max() + sum(np.abs(scale * dense(update)).max() for update, scale in rounds)
    bound = 2 * count * EPS * size  # a sum of T + 1 terms, added in another order
    assert_close(merged(W, shuffled, "W"), merged(W, rounds, "W"), atol=bound, what="merge order")


@given(shapes, st.integers(1, 6), seeds)
def test_zero_cores_leave_the_weight_equal_by_value(shape, count, seed):
    rng = np.random.default_rng(seed)
    W = rng.standard_normal(shape)
    rounds = [
        (FactoredUpdate(frame=u.frame, core=np.zeros_like(u.core), exponents=u.exponents), s)
        for u, s in _rounds(rng, shape, count)
    ]
    np.testing.assert_array_equal(merged(W, rounds, "W"), W)


@given(shapes, st.integers(1, 6), seeds)
def test_dropping_rounds_restores_the_weight_before_them_bit_for_bit(shape, count, seed):
    rng = np.random.default_rng(seed)
    W, rounds = rng.standard_normal(shape), _rounds(rng, shape, count)
    prefix = merged(W, rounds[:-1], "W").copy()
    merged(W, rounds, "W")
    np.testing.assert_array_equal(merged(W, rounds[:-1], "W"), prefix)
    np.testing.assert_array_equal(merged(W, [], "W"), W)


@given(shapes, seeds)
def test_dense_form_of_an_update_is_its_factors(shape, seed):
    rng = np.random.default_rng(seed)
    update, _ = _rounds(rng, shape, 1)[0]
    L, M = update.factors()
    assert_close(dense(update), L @ M.T, atol=64 * EPS, rtol=64 * EPS, what="U S^a R S^b V'")
