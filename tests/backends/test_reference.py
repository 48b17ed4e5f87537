import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.backends.reference.backend import Reference
from boostlora.backends.reference.factorise import canonical, leading_triplets
from boostlora.backends.reference.losses import negative_log_likelihood, weighted_loss
from boostlora.backends.reference.optimizers import adam, clipped, sgd
from boostlora.engine.errors import NonFiniteError
from boostlora.engine.testing import BackendContract, assert_close, assert_same_subspace
from boostlora.engine.testing.assertions import EPS, assert_orthonormal
from boostlora.engine.testing.strategies import seeds
from boostlora.plugins.optimizers.adam import Adam
from boostlora.plugins.optimizers.sgd import Sgd


class TestReference(BackendContract):
    def make(self):
        return Reference()


class TestReferenceOnTwoThreads(BackendContract):
    def make(self):
        return Reference(threads=2)


class TestReferenceInFloat32(BackendContract):
    def make(self):
        return Reference(dtype="float32")


@pytest.mark.parametrize("shape", [(300, 260), (260, 300), (512, 256)])
def test_partial_triplets_equal_those_of_a_full_svd(shape):
    W = np.random.default_rng(0).standard_normal(shape)
    frame = leading_triplets(W, 16)
    U, S, Vt = np.linalg.svd(W, full_matrices=False)
    assert_orthonormal(frame.U, what="U")
    assert_orthonormal(frame.V, what="V")
    # The Gram matrix squares the condition number: relative error eps * (s_1 / s_k)^2, here below 1e-14.
    assert_close(frame.S, S[:16], atol=1e-12 * S[0], what="singular values")
    # Angles grow with 1 / gap; the gap at 16 of these matrices is above 1e-3 of s_1.
    assert_same_subspace(frame.U, U[:, :16], atol=1e-9, what="left")
    assert_same_subspace(frame.V, Vt[:16].T, atol=1e-9, what="right")
    assert_close(W @ frame.V, frame.U * frame.S, atol=100 * EPS * S[0] * max(shape), what="W V = U S")


@given(st.integers(1, 12), st.integers(1, 12), seeds)
def test_triplets_of_any_weight_rebuild_it(rows, columns, seed):
    W = np.random.default_rng(seed).standard_normal((rows, columns))
    frame = leading_triplets(W, min(W.shape))
    assert_close((frame.U * frame.S) @ frame.V.T, W, atol=40 * EPS * max(W.shape) * frame.S[0], what="W")


@pytest.mark.parametrize(
    "W", [np.zeros((5, 4)), np.ones((4, 6)), np.eye(5)], ids=["zero", "rank 1", "equal values"]
)
def test_triplets_of_degenerate_weights_stay_orthonormal(W):
    frame = leading_triplets(W, 4)
    assert_orthonormal(frame.U, what="U")
    assert_orthonormal(frame.V, what="V")


@given(seeds)
def test_canonical_signs_do_not_depend_on_the_signs_before(seed):
    rng = np.random.default_rng(seed)
    U, S, Vt = np.linalg.svd(rng.standard_normal((7, 5)), full_matrices=False)
    flips = rng.choice([-1.0, 1.0], 5)
    one, two = canonical(U, S, Vt.T), canonical(U * flips, S, Vt.T * flips)
    np.testing.assert_array_equal(one.U, two.U)
    np.testing.assert_array_equal(one.V, two.V)


@pytest.mark.parametrize("count", [-1, 0, 4])
def test_triplets_beyond_the_width_of_a_weight_are_refused(count):
    with pytest.raises(ValueError, match=f"{count} directions of a weight that has 3"):
        leading_triplets(np.eye(3, 5), count)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_triplets_of_a_non_finite_weight_are_refused(bad):
    W = np.ones((4, 4))
    W[1, 2] = bad
    with pytest.raises(NonFiniteError, match="NaN or Inf"):
        leading_triplets(W, 2)


def test_loss_with_huge_logits_stays_finite():
    logits = np.array([[1e8, 0.0], [0.0, -1e8]])
    loss = negative_log_likelihood(logits, np.array([0, 1]))
    np.testing.assert_array_equal(loss, [0.0, 1e8])


def test_loss_gradient_equals_finite_differences():
    rng = np.random.default_rng(0)
    logits, labels, weights = rng.standard_normal((5, 3)), rng.integers(0, 3, 5), rng.standard_normal(5)
    _, gradient = weighted_loss(logits, labels, weights, 5)
    numeric = np.empty_like(logits)
    for index in np.ndindex(logits.shape):
        step = np.zeros_like(logits)
        step[index] = 1e-6
        up, down = (weighted_loss(logits + s * step, labels, weights, 5)[0] for s in (1, -1))
        numeric[index] = (up - down) / 2e-6
    assert_close(gradient, numeric, atol=1e-9, what="dL/dz")  # rounding eps / h = 2e-10, with room


def test_adam_first_step_is_the_sign_of_the_gradient():
    gradient = np.array([3.0, -0.01, 0.0])
    direction, state = adam(Adam(eps=1e-12), np.zeros(3), gradient, {}, 1)
    assert_close(direction, [1.0, -1.0, 0.0], atol=1e-9, what="direction")
    _, state = adam(Adam(), np.zeros(3), gradient, state, 2)
    assert_close(state["m"], (1 - 0.9**2) * gradient, atol=1e-15, what="m after two equal gradients")


def test_sgd_momentum_accumulates_and_nesterov_looks_ahead():
    g, v = np.array([1.0]), np.zeros(1)
    _, state = sgd(Sgd(momentum=0.5), v, g, {}, 1)
    assert sgd(Sgd(momentum=0.5), v, g, state, 2)[0] == pytest.approx(1.5)
    assert sgd(Sgd(momentum=0.5, nesterov=True), v, g, state, 2)[0] == pytest.approx(1.75)
    assert sgd(Sgd(weight_decay=0.1), np.array([2.0]), g, {}, 1)[0] == pytest.approx(1.2)


def test_clipping_scales_all_gradients_by_their_common_norm():
    gradients = {"a": np.array([3.0]), "b": np.array([4.0])}
    assert clipped(gradients, 0.0) is gradients
    assert clipped(gradients, 10.0) is gradients
    found = clipped(gradients, 1.0)
    assert [found["a"][0], found["b"][0]] == pytest.approx([0.6, 0.8])
