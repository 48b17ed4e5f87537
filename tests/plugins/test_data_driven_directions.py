"""Which directions each basis takes from the data: `gradient`, `activation`, `probe` and `mixed`."""

import numpy as np
import pytest

from boostlora.engine.testing import assert_close, assert_same_subspace
from boostlora.engine.testing.bases import assert_apart, assert_legal, frame_of
from boostlora.engine.testing.data_driven_bases import random_frame
from boostlora.engine.testing.oracles import MatrixOracle, random_oracle
from boostlora.plugins.bases.activation import Activation
from boostlora.plugins.bases.gradient import Gradient
from boostlora.plugins.bases.mixed import Mixed
from boostlora.plugins.bases.probe import Probe
from boostlora.plugins.bases.rotate import Rotate

from .matrix_sites import made


def best(G, rank):
    U, _, Vt = np.linalg.svd(G)
    return U[:, :rank], Vt[:rank].T


def test_gradient_basis_is_the_leading_pairs_of_the_unused_complement():
    rng, site = made()
    site.used = [random_frame(rng, site.shape, 3), random_frame(rng, site.shape, 2)]  # that overlap
    # rank 7 in the complement, with a gap after the second value; 2 + 8 columns hold it exactly
    G = sum(
        s * np.outer(u, v)
        for s, u, v in zip(
            [9.0, 8.0, 1.0, 1.0, 0.5, 0.2, 0.1],
            rng.standard_normal((7, 20)),
            rng.standard_normal((7, 14)),
            strict=True,
        )
    )
    frame = Gradient().frames(
        [site],
        [f.rank for f in site.used],
        2,
        MatrixOracle({site.name: G}),
        lambda _: np.random.default_rng(0),
    )[site.name]
    P, R = (
        np.eye(d) - M @ np.linalg.pinv(M)
        for d, M in zip(
            site.shape, (np.hstack([getattr(f, s) for f in site.used]) for s in "UV"), strict=True
        )
    )
    U, V = best(P @ G @ R, 2)
    assert_same_subspace(frame.U, U, atol=1e-12, what="U")  # exact arithmetic, float64
    assert_same_subspace(frame.V, V, atol=1e-12, what="V")
    core = frame.U.T @ G @ frame.V
    assert_close(core, np.diag(np.diag(core)), atol=1e-12 * np.linalg.norm(G), what="pairs belong together")


def test_wrapping_restarts_with_no_used_directions_for_any_ranks():
    rng, site = made(shape=(10, 10))
    basis = Gradient(exhausted="wrap")
    for rank in (4, 4, 3, 3, 3):  # 8 of 10; over again: 3, 6, 9 of 10
        site.used.append(frame_of(basis, site, [f.rank for f in site.used], rank, 0))
    assert_apart(site.used[3], site.used[2:3])
    assert_apart(site.used[4], site.used[2:4])
    oracle = random_oracle([site], rng)
    last = basis.frames([site], [4, 4, 3, 3, 3], 2, oracle, lambda _: np.random.default_rng(0))[site.name]
    site.used = []
    first = basis.frames([site], (), 2, oracle, lambda _: np.random.default_rng(0))[site.name]
    np.testing.assert_array_equal(last.U, first.U)


@pytest.mark.parametrize(("project", "apart"), [("left", "U"), ("right", "V")])
def test_projection_of_one_side_leaves_the_other_to_the_data(project, apart):
    rng, site = made()
    G = rng.standard_normal(site.shape)
    basis = Gradient(project=project)
    for t in range(3):
        oracle = MatrixOracle({site.name: G})
        frames = basis.frames([site], [2] * t, 2, oracle, lambda _, t=t: np.random.default_rng(t))
        site.used.append(frames[site.name])
    earlier, last = site.used[0], site.used[2]
    assert_close(
        getattr(last, apart).T @ getattr(earlier, apart), np.zeros((2, 2)), atol=1e-14, what="kept clear"
    )


def test_activation_takes_the_strongest_inputs_and_their_images():
    rng, site = made(shape=(12, 30))
    turn, _ = np.linalg.qr(rng.standard_normal((30, 30)))
    # 3 strong directions of 30; the subspace iteration's error falls by the squared ratio of variances, 1e-8 a sweep
    X = rng.standard_normal((200, 30)) * np.where(np.arange(30) < 3, 100.0, 0.01) @ turn.T
    oracle = MatrixOracle({}, {site.name: X}, {site.name: site.W})
    frame = Activation().frames([site], (), 3, oracle, lambda _: np.random.default_rng(0))[site.name]
    true = np.linalg.eigh(X.T @ X)[1][:, -3:]
    assert_same_subspace(frame.V, true, atol=1e-7, what="V")
    U, _ = np.linalg.qr(site.W @ true)
    assert_same_subspace(frame.U, U, atol=1e-6, what="U")  # times the condition of W V
    sent = frame.U.T @ site.W @ frame.V
    assert_close(sent, np.diag(np.diag(sent)), atol=1e-12 * np.linalg.norm(site.W), what="pairs")


def test_activation_keeps_inputs_in_the_null_space_of_the_weight():
    rng, site = made(shape=(12, 30))
    X = np.outer(rng.standard_normal(50), np.eye(30)[4])
    oracle = MatrixOracle({}, {site.name: X}, {site.name: np.zeros((12, 30))})
    frame = Activation().frames([site], (), 1, oracle, lambda _: np.random.default_rng(0))[site.name]
    assert_legal(frame, (12, 30), 1)
    assert abs(frame.V[4, 0]) > 1 - 1e-12


def test_probe_finds_the_directions_of_training():
    rng, site = made(shape=(30, 25))
    U, V = (np.linalg.qr(rng.standard_normal((d, 2)))[0] for d in (30, 25))
    G = U @ np.diag([2.0, 1.0]) @ V.T
    frame = (
        Probe()
        .frames([site], (), 2, MatrixOracle({site.name: G}), lambda _: np.random.default_rng(0))
        .get(site.name)
    )
    assert_same_subspace(frame.U, U, atol=1e-10, what="U")  # B lies in the range of G, exactly
    assert np.linalg.norm(frame.V.T @ V) > 0.1 * np.sqrt(2)  # A' begins anywhere, and turns towards G's rows


@pytest.mark.parametrize(
    ("steps", "batches", "passes"), [(8, 8, 1), (1, 8, 1), (9, 8, 2), (24, 8, 3), (5, 1, 5)]
)
def test_probe_declares_the_passes_that_its_steps_take(steps, batches, passes):
    _, site = made()
    basis, oracle = (
        Probe(steps=steps, batches=batches),
        random_oracle([site], np.random.default_rng(0), batches),
    )
    basis.frames([site], (), 2, oracle, lambda _: np.random.default_rng(0))
    assert basis.calibration(2).passes == oracle.passes == passes


def test_mixed_gives_its_share_to_the_gradient_and_the_rest_to_the_weight():
    rng, site = made()
    oracle = random_oracle([site], rng)
    frame = Mixed(share=0.5).frames([site], (), 4, oracle, lambda _: np.random.default_rng(0))[site.name]
    weight = Rotate().frame(site, (), 2, rng)
    assert_same_subspace(frame.U[:, 2:], weight.U, atol=1e-12, what="the weight's U")
    assert_same_subspace(frame.V[:, 2:], weight.V, atol=1e-12, what="the weight's V")
    P, R = np.eye(20) - weight.U @ weight.U.T, np.eye(14) - weight.V @ weight.V.T
    G = P @ oracle.gradients[site.name] @ R
    captured = np.linalg.norm(frame.U[:, :2].T @ G @ frame.V[:, :2])
    assert captured >= 0.9 * np.linalg.norm(np.linalg.svd(G, compute_uv=False)[:2])


def test_mixed_keeps_the_weights_directions_in_their_order():
    rng, site = made()
    frame = frame_of(Mixed(share=0.25), site, (), 4, 3)
    weight = Rotate().frame(site, (), 3, rng)
    overlap = np.abs(weight.U.T @ frame.U[:, 1:])
    assert_close(
        overlap, np.eye(3), atol=1e-12, what="the weight's U, but for signs"
    )  # exact arithmetic, float64


@pytest.mark.parametrize(("share", "rank", "own"), [(0.5, 3, 2), (0.0, 4, 0), (1.0, 4, 4), (0.25, 4, 1)])
def test_mixed_calibration_and_depth_follow_the_shares(share, rank, own):
    basis = Mixed(share=share)
    calibration = basis.calibration(rank)
    assert (calibration.columns, calibration.passes) == ((own + 8, 2) if own else (0, 0))
    assert basis.depth([rank] * 5, 100) == 5 * (rank - own)
    assert basis.depth([rank] * 500, 100) == 100 // rank * (rank - own)


def test_mixed_takes_the_weights_next_directions_whatever_the_ranks_were(monkeypatch):
    _, site = made()
    basis, asked, directions = Mixed(share=0.5), [], site.directions
    monkeypatch.setattr(site, "directions", lambda indices: asked.append(indices) or directions(indices))
    for rank in (4, 2, 5, 4):  # of 14: the last one starts anew
        frame_of(basis, site, [4, 2, 5][: len(asked)], rank, 3)
    assert asked == [range(2), range(2, 3), range(3, 5), range(2)]
    assert basis.depth([4, 2, 5], 14) == 5
    assert basis.depth([10, 4, 2], 14) == 5 + 2


def test_mixed_skips_directions_used_by_another_basis():
    _, site = made()
    site.used.append(site.directions(range(2)))
    frame = frame_of(Mixed(), site, (), 4, 3)
    assert_legal(frame, site.shape, 4)
    assert_apart(frame, site.used)
