"""Every layer's backward pass against central differences in float64, over random shapes."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.backends.reference.activations import ACTIVATIONS
from boostlora.backends.reference.attention import attention, attention_backward
from boostlora.backends.reference.classifier import POOLINGS, pool, pool_backward
from boostlora.backends.reference.deltas import FactorDelta
from boostlora.backends.reference.evaluation import Targets
from boostlora.backends.reference.layers import (
    Linears,
    layer_norm,
    layer_norm_backward,
    lookup,
    rms_norm,
    rms_norm_backward,
)
from boostlora.backends.reference.losses import weighted_loss
from boostlora.backends.reference.rotary import angles, frequencies, rotate, rotate_backward
from boostlora.engine.errors import UsageError
from boostlora.engine.testing import assert_close
from boostlora.engine.testing.assertions import EPS
from boostlora.engine.testing.strategies import seeds

shapes = st.tuples(st.integers(1, 5), st.integers(1, 6))
lengths = st.lists(st.integers(1, 5), min_size=1, max_size=3)

H = 1e-5
TOLERANCE = {"atol": 2e-8, "rtol": 2e-7}
"""Central differences are off by h^2 = 1e-10 times a third derivative and by eps / h = 2e-11 times the sum's size; the
quantities here are sums of up to 100 terms, and third derivatives of norms of nearly equal numbers reach hundreds."""


def numeric_gradient(function, X, G):
    """`d <G, f(X)> / dX` by central differences."""
    found = np.empty_like(X)
    for index in np.ndindex(X.shape):
        step = np.zeros_like(X)
        step[index] = H
        found[index] = np.sum(G * (function(X + step) - function(X - step))) / (2 * H)
    return found


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


@given(shapes, seeds)
def test_rms_norm_backward_equals_finite_differences(shape, seed):
    X, g, G = normal(seed, *shape) + 0.5, normal([seed, 1], shape[1]), normal([seed, 2], *shape)
    expected = numeric_gradient(lambda x: rms_norm(x, g, 0.1), X, G)
    assert_close(rms_norm_backward(X, g, 0.1, G), expected, **TOLERANCE, what="dL/dX")


@given(shapes, seeds)
def test_layer_norm_backward_equals_finite_differences(shape, seed):
    X, g, G = normal(seed, *shape), normal([seed, 1], shape[1]), normal([seed, 2], *shape)
    b = normal([seed, 3], shape[1])
    expected = numeric_gradient(lambda x: layer_norm(x, g, b, 0.1), X, G)
    assert_close(layer_norm_backward(X, g, 0.1, G), expected, **TOLERANCE, what="dL/dX")


def test_norms_of_a_known_vector_have_the_hand_computed_values():
    X = np.array([[3.0, 4.0]])
    # mean square 12.5; mean 3.5, variance 0.25
    assert_close(
        rms_norm(X, np.array([1.0, 2.0]), 0.0), X * [[1, 2]] / math.sqrt(12.5), atol=4 * EPS, what="RMS"
    )
    found = layer_norm(X, np.array([1.0, 2.0]), np.array([0.0, 1.0]), 0.0)
    assert_close(found, [[-1.0, 3.0]], atol=4 * EPS, what="LayerNorm")


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activation_slope_equals_finite_differences(name):
    f, slope = ACTIVATIONS[name]
    Z = np.linspace(-6.0, 6.0, 200)  # an even number: not 0, where relu has none
    assert_close(slope(Z), (f(Z + H) - f(Z - H)) / (2 * H), atol=1e-9, what=name)


def test_activations_at_one_are_as_tabulated():
    """Phi(1) = 0.841344746068543, sigma(1) = 0.731058578630005; the tanh form of GELU is 0.841191990608276 there."""
    one = np.ones(1)
    for name, value in {
        "gelu": 0.841344746068543,
        "silu": 0.731058578630005,
        "gelu_new": 0.841191990608276,
    }.items():
        assert_close(ACTIVATIONS[name][0](one), [value], atol=1e-15, what=name)


@given(shapes, st.integers(1, 6), st.booleans(), seeds)
def test_linear_backward_with_a_delta_equals_finite_differences(shape, d_out, biased, seed):
    (n, d_in), W = shape, normal(seed, d_out, shape[1])
    weights = {"m.weight": W} | ({"m.bias": normal([seed, 1], d_out)} if biased else {})
    A, B = normal([seed, 2], 2, d_in), normal([seed, 3], d_out, 2)
    linears = Linears(weights, {"m.weight": FactorDelta(A, B, 0.7)})
    X, G = normal([seed, 4], n, d_in), normal([seed, 5], n, d_out)
    expected = numeric_gradient(lambda x: linears.forward("m", x), X, G)
    assert_close(linears.backward("m", X, G), expected, **TOLERANCE, what="dL/dX")
    merged = Linears({**weights, "m.weight": W + 0.7 * B @ A}, {})
    assert_close(linears.forward("m", X), merged.forward("m", X), atol=1e-12, what="delta against merged")
    X_kept, G_kept = linears.pairs["m.weight"]
    assert X_kept is X
    assert G_kept is G


@given(lengths, st.integers(1, 3), st.integers(1, 2), st.booleans(), seeds)
def test_attention_backward_equals_finite_differences(sizes, kv_heads, group, causal, seed):
    n, offsets = sum(sizes), np.r_[0, np.cumsum(sizes)]
    Q, G = normal(seed, n, kv_heads * group, 3), normal([seed, 1], n, kv_heads * group, 3)
    K, V = normal([seed, 2], n, kv_heads, 3), normal([seed, 3], n, kv_heads, 3)
    how = {"causal": causal, "scale": 0.6}
    found = attention_backward(Q, K, V, offsets, G, **how)
    expected = (
        numeric_gradient(lambda q: attention(q, K, V, offsets, **how), Q, G),
        numeric_gradient(lambda k: attention(Q, k, V, offsets, **how), K, G),
        numeric_gradient(lambda v: attention(Q, K, v, offsets, **how), V, G),
    )
    for name, one, two in zip("QKV", found, expected, strict=True):
        assert_close(one, two, **TOLERANCE, what=f"dL/d{name}")


@given(lengths, st.booleans(), seeds)
def test_attention_of_every_query_is_its_softmax_average_written_out(sizes, causal, seed):
    n, offsets = sum(sizes), np.r_[0, np.cumsum(sizes)]
    Q, K, V = (normal([seed, i], n, heads, 4) for i, heads in enumerate((4, 2, 2)))
    found = attention(Q, K, V, offsets, causal=causal, scale=0.5)
    for begin, end in pairwise(offsets):
        for i in range(begin, end):
            for head in range(4):
                seen = slice(begin, i + 1 if causal else end)
                p = np.exp(0.5 * K[seen, head // 2] @ Q[i, head])
                average = p @ V[seen, head // 2] / p.sum()
                assert_close(found[i, head], average, atol=1e-13, what=f"query {i}, head {head}")


def test_attention_with_huge_scores_takes_the_largest_without_overflow():
    Q, K, V = 1e3 * normal(0, 4, 1, 2), 1e3 * normal(1, 4, 1, 2), normal(2, 4, 1, 2)
    found = attention(Q, K, V, np.array([0, 4]), causal=False, scale=1.0)
    best = np.argmax(Q[:, 0] @ K[:, 0].T, axis=1)  # scores of 1e6 apart: the others' shares underflow
    np.testing.assert_array_equal(found, V[best])


@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 4), seeds)
def test_rotation_preserves_lengths_and_is_inverted_by_its_backward_pass(n, heads, half, seed):
    X = normal(seed, n, heads, 2 * half)
    cos, sin = angles(np.arange(n), frequencies({}, 2 * half), X.dtype)
    turned = rotate(X, cos, sin)
    squares = np.sum(X**2, axis=2)
    assert_close(np.sum(turned**2, axis=2), squares, atol=0, rtol=16 * EPS, what="squared lengths")
    assert_close(rotate_backward(turned, cos, sin), X, atol=0, rtol=16 * EPS, what="there and back")
    assert_close(turned[0], X[0], atol=0, what="position 0")


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), seeds)
def test_scores_of_rotated_vectors_depend_only_on_the_distance(i, j, shift, seed):
    def score(a, b):
        turned = [
            rotate(x, *angles(np.array([p]), frequencies({}, 6), x.dtype))
            for x, p in zip(X, (a, b), strict=True)
        ]
        return float(np.sum(turned[0] * turned[1]))

    X = normal(seed, 2, 1, 1, 6)
    assert score(i, j) == pytest.approx(score(i + shift, j + shift), abs=1e-12)


def test_frequencies_are_read_from_new_and_from_old_configurations():
    new = {"rope_parameters": {"rope_type": "default", "rope_theta": 100.0}}
    assert_close(frequencies(new, 4), [1.0, 0.1], atol=EPS, what="theta^(-2i/d)")
    assert_close(frequencies({"rope_theta": 100.0}, 4), frequencies(new, 4), atol=0, what="old")
    old = {"rope_theta": 100.0, "rope_scaling": {"type": "linear", "factor": 2.0}}
    assert_close(frequencies(old, 4), [0.5, 0.05], atol=EPS, what="linear")


def test_llama3_frequencies_are_kept_blended_and_divided():
    rope = {
        "rope_type": "llama3",
        "rope_theta": 1e4,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
    }
    rope["original_max_position_embeddings"] = 64
    plain, found = frequencies({"rope_theta": 1e4}, 16), frequencies({"rope_parameters": rope}, 16)
    turns = 64 * plain / (2 * math.pi)
    assert (turns > 4).any()
    assert (turns < 1).any()
    between = (turns >= 1) & (turns <= 4)
    assert between.any()
    assert_close(found[turns > 4], plain[turns > 4], atol=0, what="fast")
    assert_close(found[turns < 1], plain[turns < 1] / 8, atol=0, what="slow")
    assert ((found > plain / 8) & (found < plain))[between].all()


@pytest.mark.parametrize("how", POOLINGS)
@given(sizes=lengths, seed=seeds)
def test_pooling_backward_equals_finite_differences(how, sizes, seed):
    offsets, n = np.r_[0, np.cumsum(sizes)], sum(sizes)
    X, G = normal(seed, n, 3), normal([seed, 1], len(sizes), 3)
    X += 0.1 * np.arange(n)[:, None]  # no two are within h of each other but by rarest chance
    expected = numeric_gradient(lambda x: pool(x, offsets, how), X, G)
    assert_close(pool_backward(X, offsets, how, G), expected, **TOLERANCE, what=how)


def test_pooling_of_known_rows_has_the_hand_computed_values():
    X, offsets = np.array([[1.0, 4.0], [3.0, 2.0], [5.0, 5.0]]), np.array([0, 2, 3])
    expected = {"mean": [2.0, 3.0], "cls": [1.0, 4.0], "last": [3.0, 2.0], "max": [3.0, 4.0]}
    for how, row in expected.items():
        np.testing.assert_array_equal(pool(X, offsets, how), [row, [5.0, 5.0]])


def test_loss_of_completions_is_the_weighted_mean_over_their_tokens():
    logits, targets = normal(0, 5, 4), Targets(np.array([0, 3, 1, 1, 2]), np.array([2, 0, 3]))
    weights = np.array([0.5, 7.0, -2.0])
    loss, gradient = weighted_loss(logits, targets.ids, targets.row_weights(weights), 3)
    log_p = np.log(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))[np.arange(5), targets.ids]
    by_hand = -(0.5 * log_p[:2].mean() - 2.0 * log_p[2:].mean()) / 3
    assert loss == pytest.approx(by_hand, abs=1e-15)
    assert_close(targets.per_example(log_p), [log_p[:2].sum(), 0.0, log_p[2:].sum()], atol=1e-15, what="sums")
    numeric = numeric_gradient(
        lambda z: weighted_loss(z, targets.ids, targets.row_weights(weights), 3)[0], logits, np.ones(())
    )
    assert_close(gradient, numeric, atol=1e-9, what="dL/dz")  # rounding eps / h = 2e-11, with room


@pytest.mark.parametrize("rows", [[0, 5], [-1]])
def test_look_up_outside_the_table_is_refused(rows):
    with pytest.raises(UsageError, match=r"token (5|-1) is outside the model's table of 5"):
        lookup(np.zeros((5, 2)), np.array(rows), "token")
