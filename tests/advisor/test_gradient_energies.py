"""Captured energies against projections of dense gradients, written out as vectors."""

import numpy as np
import pytest

from boostlora.engine.advisor.gradient_energy import (
    Sides,
    core_atoms,
    diagonal_energy,
    moments,
    shared_energy,
    span_energy,
    square_energy,
)
from boostlora.engine.advisor.sketches import DIRECTIONS, Plan, inner
from boostlora.engine.contracts import LinearCore, Site
from boostlora.engine.foundation.rng import Streams
from boostlora.engine.testing import assert_close
from boostlora.engine.testing.oracles import MatrixOracle

from .advisor_toys import orthonormal

EXACT = 1e-9
"""Sums of some hundred squares of size 1, and a pseudo-inverse: a few thousand roundings."""
R = 2


def projected(G, members):
    """`||P vec(G)||^2` on the span of matrices, by least squares on their vectors."""
    A = np.stack([M.ravel() for M in members], axis=1)
    x, *_ = np.linalg.lstsq(A, G.ravel(), rcond=1e-10)
    return float(np.sum((A @ x) ** 2))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(params=["orthogonal", "overlapping", "repeated"])
def columns(request, rng):
    """Three rounds of two columns on both sides."""
    if request.param == "orthogonal":
        return orthonormal(rng, 9, 3 * R), orthonormal(rng, 7, 3 * R)
    frames = [(orthonormal(rng, 9, R), orthonormal(rng, 7, R)) for _ in range(3)]
    if request.param == "repeated":
        frames = [frames[0], frames[1], frames[0]]
    return tuple(np.hstack(side) for side in zip(*frames, strict=True))


def rounds_of(U, V):
    return [(U[:, t : t + R], V[:, t : t + R]) for t in range(0, U.shape[1], R)]


def test_rounds_with_full_cores_capture_the_projection_onto_their_span(rng, columns):
    U, V = columns
    G = rng.standard_normal((9, 7))
    members = [np.outer(u, v) for X, Y in rounds_of(U, V) for u in X.T for v in Y.T]
    found = square_energy(U.T @ G @ V, Sides.of(U, V), R)
    assert_close(found, projected(G, members), atol=EXACT, what="energy of three rounds")


def test_two_gradients_share_the_inner_product_of_their_projections(rng, columns):
    U, V = columns
    G, H = rng.standard_normal((2, 9, 7))
    sizes, ends = [2, 1, 3], [2, 3, 6]  # rounds need not have the same rank
    members = [
        np.outer(u, v)
        for size, end in zip(sizes, ends, strict=True)
        for u in U[:, end - size : end].T
        for v in V[:, end - size : end].T
    ]
    found = shared_energy(U.T @ G @ V, U.T @ H @ V, Sides.of(U, V), sizes)
    # The inner product by polarisation of `||P G||^2`.
    expected = (projected(G + H, members) - projected(G - H, members)) / 4
    assert_close(found, expected, atol=EXACT, what="inner product of two projections")


def test_rounds_with_diagonal_cores_capture_the_projection_onto_their_span(rng, columns):
    U, V = columns
    G = rng.standard_normal((9, 7))
    members = [np.outer(u, v) for u, v in zip(U.T, V.T, strict=True)]
    found = diagonal_energy(U.T @ G @ V, Sides.of(U, V), R)
    assert_close(found, projected(G, members), atol=EXACT, what="energy of three diagonal rounds")


def test_one_core_on_all_columns_captures_the_projection_onto_both_spans(rng, columns):
    U, V = columns
    G = rng.standard_normal((9, 7))
    members = [np.outer(u, v) for u in U.T for v in V.T]
    found = span_energy(U.T @ G @ V, Sides.of(U, V))
    assert_close(found, projected(G, members), atol=EXACT, what="energy of one shot")


def test_tied_cores_capture_the_projection_of_all_their_sites_together(rng, columns):
    U, V = columns
    G = [rng.standard_normal((9, 7)) for _ in range(2)]
    P = rng.standard_normal((3, R, R))
    core = LinearCore(rank=R, group="v", projections=P, init=np.zeros(3), exponents=(0.5, 0.5))
    S = [rng.uniform(1.0, 2.0, R) for _ in range(3)]
    # The second site plays only the first two rounds.
    mine = moments(U.T @ G[0] @ V, Sides.of(U, V), [core_atoms(core, s) for s in S])
    W, X = U[:, : 2 * R], V[:, : 2 * R]
    other = moments(W.T @ G[1] @ X, Sides.of(W, X), [core_atoms(core, s) for s in S[:2]])
    members = []
    for t, (u, v) in enumerate(rounds_of(U, V)):
        for p in P:
            dW = u @ np.diag(S[t] ** 0.5) @ p @ np.diag(S[t] ** 0.5) @ v.T
            members.append(np.stack([dW, dW if t < 2 else np.zeros_like(dW)]))
    expected = projected(np.stack(G), members)
    assert_close(mine.plus(other).energy, expected, atol=EXACT, what="energy of tied cores")


def sketch(G, seed=0):
    site = Site(name="w", shape=G.shape)
    return Plan.of((site,), Streams(seed), 1).sketches(MatrixOracle({"w": G}))["w"]


@pytest.mark.parametrize("shape", [(30, 20), (300, 128), (128, 300)])
def test_sketch_of_a_site_with_a_short_side_is_exact(rng, shape):
    G = rng.standard_normal(shape)
    found = sketch(G)
    assert found.error == 0.0
    assert_close(found.energy, np.sum(G**2), atol=0.0, rtol=1e-12, what="energy")
    values = np.linalg.svd(G, compute_uv=False)[:DIRECTIONS] ** 2
    assert_close(found.values, values, atol=0.0, rtol=1e-10, what="squared singular values")


@pytest.mark.parametrize("decay", [0.0, 0.5, 2.0])
def test_sketch_of_a_wide_site_is_within_its_own_standard_errors(rng, decay):
    U, V = orthonormal(rng, 200, 150), orthonormal(rng, 180, 150)
    G = (U * np.arange(1, 151) ** -decay) @ V.T
    found = sketch(G)
    # Four standard errors: one seed in 16,000 is beyond; the second term is the rounding of what has no error.
    assert_close(found.energy, np.sum(G**2), atol=4 * found.error + 1e-10, what="energy")
    assert 0.0 < found.error < 0.05 * np.sum(G**2)


def test_sketch_errors_match_their_standard_errors(rng):
    G = rng.standard_normal((200, 180))
    found = [sketch(G, seed) for seed in range(40)]
    z = np.array([(one.energy - np.sum(G**2)) / one.error for one in found])
    # The mean square of 40 standard normal numbers is within 0.45 and 1.8 in 99.9 of 100 cases; t of 31 degrees is near enough.
    assert 0.4 < np.mean(z**2) < 2.0
    assert abs(np.mean(z)) < 0.6


def test_inner_product_of_two_wide_sketches_is_that_of_the_gradients(rng):
    common = rng.standard_normal((200, 180))
    G, H = common + rng.standard_normal((200, 180)), common + rng.standard_normal((200, 180))
    found = inner(sketch(G), sketch(H))
    # Its deviation is that of `mean (R z)'(T z)` over 32 probes, about sqrt(2 / 32) ||G|| ||H|| / sqrt(150) here.
    assert_close(found, np.sum(G * H), atol=0.1 * np.sum(common**2), what="inner product")
    assert inner(sketch(G), sketch(G)) == sketch(G).energy


def test_sketched_products_match_those_of_the_gradient(rng):
    G = rng.standard_normal((200, 5)) @ rng.standard_normal((5, 180))
    found, X, Y = sketch(G), rng.standard_normal((180, 3)), rng.standard_normal((200, 3))
    assert_close(found.times(X), G @ X, atol=0.0, rtol=1e-10, what="G O")
    assert_close(found.transposed_times(Y), G.T @ Y, atol=0.0, rtol=1e-10, what="G' Q")


def test_energy_of_a_zero_gradient_is_zero():
    assert sketch(np.zeros((200, 180))).energy == 0.0
