from itertools import pairwise

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from boostlora.engine.sdk.directions import (
    OrthogonalComplement,
    SiteComplements,
    gradient_singular_pairs,
    leading_singular_pairs,
    principal_directions,
)
from boostlora.engine.testing import assert_close, assert_same_subspace
from boostlora.engine.testing.assertions import assert_orthonormal
from boostlora.engine.testing.oracles import MatrixOracle
from boostlora.engine.testing.strategies import contract_settings, seeds

SITE = "layers.0.weight"
shapes = st.tuples(st.integers(6, 40), st.integers(6, 40))


def place(shape, rng, left=(), right=()):
    return SiteComplements(
        name=SITE,
        left=OrthogonalComplement.of(shape[0], left),
        right=OrthogonalComplement.of(shape[1], right),
        rng=rng,
    )


def found(G, count, oversample, where):
    return gradient_singular_pairs(MatrixOracle({SITE: G}), [where], count, oversample)[SITE]


def with_values(rng, shape, values):
    """A matrix with these singular values and random singular vectors."""
    U, V = (np.linalg.qr(rng.standard_normal((d, len(values))))[0] for d in shape)
    return (U * values) @ V.T, U, V


def energy(pairs, G):
    return float(np.linalg.norm(pairs.U.T @ G @ pairs.V) ** 2)


@given(shapes, st.integers(1, 4), st.integers(0, 2), seeds)
@contract_settings
def test_columns_that_hold_the_rank_find_the_very_pairs(shape, count, spare, seed):
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.uniform(1.0, 2.0, count), np.full(min(2, 6 - count), 0.25)])
    G, U, V = with_values(rng, shape, values)
    pairs = found(G, count, 2 + spare, place(shape, rng))
    # A Gaussian sketch of as many columns as the rank may be badly conditioned, 1e4 about once in 1e4 draws.
    assert_same_subspace(pairs.U, U[:, :count], atol=1e-10, what="U")
    assert_same_subspace(pairs.V, V[:, :count], atol=1e-10, what="V")
    assert_close(
        np.abs(np.diag(pairs.U.T @ G @ pairs.V)),
        np.sort(values[:count])[::-1],
        atol=1e-10,
        what="each left direction with its right one",
    )


@given(shapes, st.integers(1, 4), st.sampled_from([0.3, 0.5, 0.7]), seeds)
@contract_settings
def test_decaying_spectrum_in_a_complement_is_captured_nearly_as_well_as_can_be(shape, count, decay, seed):
    """Theorem 10.7 of Halko, Martinsson and Tropp with p = 8, t = u = 6, which fails once in 1e6, and the cut to `count`."""
    rng = np.random.default_rng(seed)
    G, _, _ = with_values(rng, shape, decay ** np.arange(min(shape)))
    used = [[rng.standard_normal((d, 2))] for d in shape]
    where = place(shape, rng, *used)
    left = where.right.project(where.left.project(G).T).T
    pairs = found(G, count, 8, where)
    sigma = np.linalg.svd(left, compute_uv=False)[count:]
    error = np.linalg.norm(left - pairs.U @ (pairs.U.T @ left @ pairs.V) @ pairs.V.T)
    tail = np.linalg.norm(sigma)
    bound = (2 + 6 * np.sqrt(3 * count / 9)) * tail + 36 * np.e * np.sqrt(count + 8) / 9 * sigma[0]
    assert error <= bound + 1e-14
    assert error >= tail * (1 - 1e-12) - 1e-14, "nothing is better than the singular value decomposition"
    typical = np.sqrt(2 + count / 7) * tail  # the mean error, Theorem 10.5, and the cut
    assert error <= 2 * typical + 1e-14


@given(shapes, st.integers(1, 4), st.integers(2, 8), seeds)
@contract_settings
def test_found_pairs_capture_more_than_random_ones(shape, count, oversample, seed):
    """A lone column without a second one is beaten by chance once in 600 draws, three or more never in 9,000."""
    rng = np.random.default_rng(seed)
    G, _, _ = with_values(rng, shape, 0.5 ** np.arange(min(shape)))
    where = place(shape, rng)
    pairs = found(G, count, oversample, where)
    by_chance = leading_singular_pairs(
        rng.standard_normal((shape[0], count)), rng.standard_normal((shape[1], count)), where, count
    )
    assert energy(pairs, G) >= energy(by_chance, G) * (1 - 1e-12)


@given(shapes, st.integers(1, 3), seeds)
@contract_settings
def test_energy_never_grows_when_more_is_projected_out(shape, count, seed):
    rng = np.random.default_rng(seed)
    G = rng.standard_normal(shape)
    left, right, energies = [], [], []
    for _ in range(4):
        if min(shape) - sum(M.shape[1] for M in left) < count:
            break
        # columns for the whole width: the pairs are the true ones
        energies.append(energy(found(G, count, max(shape), place(shape, rng, left, right)), G))
        left.append(rng.standard_normal((shape[0], 1)))
        right.append(rng.standard_normal((shape[1], 1)))
    assert all(b <= a * (1 + 1e-12) for a, b in pairwise(energies))


@given(shapes, st.integers(1, 4), st.integers(0, 30), seeds)
@contract_settings
def test_pairs_are_orthonormal_and_clear_of_what_was_used(shape, count, taken, seed):
    rng = np.random.default_rng(seed)
    assume(min(shape) >= count)
    used = [np.linalg.qr(rng.standard_normal((d, min(taken, min(shape) - count))))[0] for d in shape]
    G, _, _ = with_values(rng, shape, [1.0, 1e-9])  # of rank 2: the others are filled up
    where = place(shape, rng, *([M] for M in used))
    pairs = found(G, count, 4, where)
    for found_side, M, d in ((pairs.U, used[0], shape[0]), (pairs.V, used[1], shape[1])):
        assert found_side.shape == (d, count)
        assert_orthonormal(found_side, what="columns")
        assert_close(
            M.T @ found_side,
            np.zeros((M.shape[1], count)),
            atol=4 * np.finfo(float).eps * max(shape),
            what="clear",
        )


def test_passes_are_two_and_one_where_the_left_side_is_nearly_full():
    rng = np.random.default_rng(0)
    G = rng.standard_normal((12, 40))
    for taken, passes in ((0, 2), (6, 1)):
        oracle = MatrixOracle({SITE: G})
        used = [[np.eye(d)[:, :taken]] for d in G.shape]
        gradient_singular_pairs(oracle, [place(G.shape, rng, *used)], 2, 4)
        assert (oracle.passes, oracle.columns) == (passes, 6)


def test_a_nearly_full_side_gives_the_very_pairs():
    rng = np.random.default_rng(1)
    for shape in ((12, 40), (40, 12)):
        G = rng.standard_normal(shape)
        where = place(shape, rng, *([np.linalg.qr(rng.standard_normal((d, 6)))[0]] for d in shape))
        U, _, Vt = np.linalg.svd(where.right.project(where.left.project(G).T).T)
        pairs = found(G, 2, 4, where)
        assert_same_subspace(pairs.U, U[:, :2], atol=1e-12, what="U")
        assert_same_subspace(pairs.V, Vt[:2].T, atol=1e-12, what="V")


@given(st.integers(2, 30), st.integers(1, 4), st.integers(2, 4), seeds)
@contract_settings
def test_principal_directions_of_few_inputs_are_exact(d, count, passes, seed):
    rng = np.random.default_rng(seed)
    count = min(count, d)
    rows = min(d, count + 2)
    X, _, V = with_values(rng, (50, d), 2.0 ** -np.arange(rows))
    oracle = MatrixOracle({}, {SITE: X})
    V_found = principal_directions(oracle, [place((d, d), rng)], count, 4, passes)[SITE]
    assert oracle.passes == passes
    assert_same_subspace(V_found, V[:, :count], atol=1e-9, what="V")  # rounding over a gap of 4 ** -count
