import numpy as np
import pytest

from boostlora.engine.errors import ExhaustedError, NonFiniteError
from boostlora.engine.testing import assert_close, assert_same_subspace
from boostlora.engine.testing.bases import assert_apart, assert_legal, frame_of
from boostlora.engine.testing.evidence import MatrixEvidence, random_evidence, silent_evidence
from boostlora.engine.testing.informed import InformedBasisContract, random_frame
from boostlora.engine.testing.strategies import MatrixSite
from boostlora.plugins.bases.activation import Activation
from boostlora.plugins.bases.gradient import Gradient
from boostlora.plugins.bases.mixed import Mixed
from boostlora.plugins.bases.probe import Probe
from boostlora.plugins.bases.rotate import Rotate

KINDS = [Gradient, Activation, Probe, Mixed]


class TestGradient(InformedBasisContract):
    orthogonal = grows = True

    def make(self):
        return Gradient()


class TestGradientWithoutOversampling(InformedBasisContract):
    orthogonal = grows = True

    def make(self):
        return Gradient(oversample=0, exhausted="stop")


class TestGradientWrapping(InformedBasisContract):
    def make(self):
        return Gradient(exhausted="wrap")


class TestGradientFree(InformedBasisContract):
    def make(self):
        return Gradient(project="none")


class TestGradientClearOfInputsOnly(InformedBasisContract):
    def make(self):
        return Gradient(project="right")


class TestActivation(InformedBasisContract):
    orthogonal = grows = True

    def make(self):
        return Activation()


class TestProbe(InformedBasisContract):
    orthogonal = grows = True

    def make(self):
        return Probe(steps=3, lr=0.1)


class TestMixed(InformedBasisContract):
    orthogonal = grows = True

    def make(self):
        return Mixed()


class TestMixedOfTheWeightAlone(InformedBasisContract):
    orthogonal = grows = True

    def make(self):
        return Mixed(share=0.0)


class TestMixedOfTheGradientAlone(InformedBasisContract):
    orthogonal = grows = True

    def make(self):
        return Mixed(share=1.0)


def made(seed=0, shape=(20, 14)):
    rng = np.random.default_rng(seed)
    return rng, MatrixSite(rng.standard_normal(shape))


def best(G, rank):
    U, _, Vt = np.linalg.svd(G)
    return U[:, :rank], Vt[:rank].T


def test_gradient_is_the_leading_pairs_of_what_earlier_rounds_left():
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
        MatrixEvidence({site.name: G}),
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


@pytest.mark.parametrize("kind", KINDS)
def test_frame_has_canonical_signs_and_the_scale_of_a_typical_direction(kind):
    rng, site = made()
    evidence = random_evidence([site], rng)
    frame = kind().frames([site], (), 4, evidence, lambda _: np.random.default_rng(1))[site.name]
    assert (frame.U[np.argmax(np.abs(frame.U), axis=0), np.arange(4)] > 0).all()
    assert frame.S.tolist() == [site.rms_singular_value()] * 4
    if kind is Gradient:
        slopes = np.diag(frame.U.T @ evidence.gradients[site.name] @ frame.V)
        assert (slopes > 0).all(), "U and V are turned together"


def test_directions_fill_a_weight_until_it_is_full():
    for kind in KINDS:
        _, site = made(shape=(9, 13))
        basis = kind()
        for t in range(3):
            site.used.append(frame_of(basis, site, [3] * t, 3, 7))
            assert_apart(site.used[-1], site.used[:-1])
        with pytest.raises(
            ExhaustedError, match=r"layers\.0\.weight \(9, 13\): 3 earlier rounds leave 0 unused"
        ):
            frame_of(basis, site, [3] * 3, 3, 7)


def test_wrapping_starts_over_with_nothing_used_whatever_the_ranks_were():
    rng, site = made(shape=(10, 10))
    basis = Gradient(exhausted="wrap")
    for rank in (4, 4, 3, 3, 3):  # 8 of 10; over again: 3, 6, 9 of 10
        site.used.append(frame_of(basis, site, [f.rank for f in site.used], rank, 0))
    assert_apart(site.used[3], site.used[2:3])
    assert_apart(site.used[4], site.used[2:4])
    evidence = random_evidence([site], rng)
    last = basis.frames([site], [4, 4, 3, 3, 3], 2, evidence, lambda _: np.random.default_rng(0))[site.name]
    site.used = []
    first = basis.frames([site], (), 2, evidence, lambda _: np.random.default_rng(0))[site.name]
    np.testing.assert_array_equal(last.U, first.U)


@pytest.mark.parametrize(("project", "apart"), [("left", "U"), ("right", "V")])
def test_projection_of_one_side_leaves_the_other_to_the_data(project, apart):
    rng, site = made()
    G = rng.standard_normal(site.shape)
    basis = Gradient(project=project)
    for t in range(3):
        evidence = MatrixEvidence({site.name: G})
        frames = basis.frames([site], [2] * t, 2, evidence, lambda _, t=t: np.random.default_rng(t))
        site.used.append(frames[site.name])
    earlier, last = site.used[0], site.used[2]
    assert_close(
        getattr(last, apart).T @ getattr(earlier, apart), np.zeros((2, 2)), atol=1e-14, what="kept clear"
    )


def test_activation_takes_the_strongest_inputs_and_where_the_weight_sends_them():
    rng, site = made(shape=(12, 30))
    turn, _ = np.linalg.qr(rng.standard_normal((30, 30)))
    # 3 strong directions of 30; the subspace iteration's error falls by the squared ratio of variances, 1e-8 a sweep
    X = rng.standard_normal((200, 30)) * np.where(np.arange(30) < 3, 100.0, 0.01) @ turn.T
    evidence = MatrixEvidence({}, {site.name: X}, {site.name: site.W})
    frame = Activation().frames([site], (), 3, evidence, lambda _: np.random.default_rng(0))[site.name]
    true = np.linalg.eigh(X.T @ X)[1][:, -3:]
    assert_same_subspace(frame.V, true, atol=1e-7, what="V")
    U, _ = np.linalg.qr(site.W @ true)
    assert_same_subspace(frame.U, U, atol=1e-6, what="U")  # times the condition of W V
    sent = frame.U.T @ site.W @ frame.V
    assert_close(sent, np.diag(np.diag(sent)), atol=1e-12 * np.linalg.norm(site.W), what="pairs")


def test_activation_keeps_its_inputs_where_the_weight_sends_them_nowhere():
    rng, site = made(shape=(12, 30))
    X = np.outer(rng.standard_normal(50), np.eye(30)[4])
    evidence = MatrixEvidence({}, {site.name: X}, {site.name: np.zeros((12, 30))})
    frame = Activation().frames([site], (), 1, evidence, lambda _: np.random.default_rng(0))[site.name]
    assert_legal(frame, (12, 30), 1)
    assert abs(frame.V[4, 0]) > 1 - 1e-12


def test_probe_finds_the_directions_that_training_would_take():
    rng, site = made(shape=(30, 25))
    U, V = (np.linalg.qr(rng.standard_normal((d, 2)))[0] for d in (30, 25))
    G = U @ np.diag([2.0, 1.0]) @ V.T
    frame = (
        Probe()
        .frames([site], (), 2, MatrixEvidence({site.name: G}), lambda _: np.random.default_rng(0))
        .get(site.name)
    )
    assert_same_subspace(frame.U, U, atol=1e-10, what="U")  # B lies in the range of G, exactly
    assert np.linalg.norm(frame.V.T @ V) > 0.1 * np.sqrt(2)  # A' begins anywhere, and turns towards G's rows


@pytest.mark.parametrize(
    ("steps", "batches", "passes"), [(8, 8, 1), (1, 8, 1), (9, 8, 2), (24, 8, 3), (5, 1, 5)]
)
def test_probe_declares_the_passes_that_its_steps_take(steps, batches, passes):
    _, site = made()
    basis, evidence = (
        Probe(steps=steps, batches=batches),
        random_evidence([site], np.random.default_rng(0), batches),
    )
    basis.frames([site], (), 2, evidence, lambda _: np.random.default_rng(0))
    assert basis.question(2).passes == evidence.passes == passes


def test_mixed_gives_its_share_to_the_gradient_and_the_rest_to_the_weight():
    rng, site = made()
    evidence = random_evidence([site], rng)
    frame = Mixed(share=0.5).frames([site], (), 4, evidence, lambda _: np.random.default_rng(0))[site.name]
    weight = Rotate().frame(site, (), 2, rng)
    assert_same_subspace(frame.U[:, 2:], weight.U, atol=1e-12, what="the weight's U")
    assert_same_subspace(frame.V[:, 2:], weight.V, atol=1e-12, what="the weight's V")
    P, R = np.eye(20) - weight.U @ weight.U.T, np.eye(14) - weight.V @ weight.V.T
    G = P @ evidence.gradients[site.name] @ R
    captured = np.linalg.norm(frame.U[:, :2].T @ G @ frame.V[:, :2])
    assert captured >= 0.9 * np.linalg.norm(np.linalg.svd(G, compute_uv=False)[:2])


@pytest.mark.parametrize(("share", "rank", "own"), [(0.5, 3, 2), (0.0, 4, 0), (1.0, 4, 4), (0.25, 4, 1)])
def test_mixed_question_and_depth_are_of_the_shares(share, rank, own):
    basis = Mixed(share=share)
    question = basis.question(rank)
    assert (question.columns, question.passes) == ((own + 8, 2) if own else (0, 0))
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


def test_mixed_whose_block_was_used_by_another_basis_takes_others():
    _, site = made()
    site.used.append(site.directions(range(2)))
    frame = frame_of(Mixed(), site, (), 4, 3)
    assert_legal(frame, site.shape, 4)
    assert_apart(frame, site.used)


@pytest.mark.parametrize("kind", [Gradient, Probe, Mixed])
def test_gradient_that_is_not_finite_is_refused_naming_the_site(kind):
    _, site = made()
    G = np.ones(site.shape)
    G[0, 0] = np.nan
    with pytest.raises(NonFiniteError, match=r"layers\.0\.weight: .* NaN or Inf"):
        kind().frames([site], (), 2, MatrixEvidence({site.name: G}), lambda _: np.random.default_rng(0))


def test_inputs_that_are_not_finite_are_refused_naming_the_site():
    _, site = made()
    evidence = MatrixEvidence({}, {site.name: np.full((3, 14), np.inf)}, {site.name: site.W})
    with (
        np.errstate(invalid="ignore"),
        pytest.raises(NonFiniteError, match=r"layers\.0\.weight: .* inputs .* NaN or Inf"),
    ):
        Activation().frames([site], (), 2, evidence, lambda _: np.random.default_rng(0))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_gradients_of_any_size_give_the_same_directions(kind, size):
    rng, site = made()
    usual = random_evidence([site], rng)
    odd = MatrixEvidence(
        {site.name: size * usual.gradients[site.name]},
        {site.name: min(size, 1e100) * usual.inputs[site.name]},  # whose squares must fit
        usual.weights,
    )
    one, two = (
        kind().frames([site], (), 2, e, lambda _: np.random.default_rng(0))[site.name] for e in (usual, odd)
    )
    if kind is not Activation or size > 1:
        assert_same_subspace(two.U, one.U, atol=1e-9, what="U")
    assert_legal(two, site.shape, 2)


@pytest.mark.parametrize(
    "kind", [Gradient, Activation, Mixed]
)  # a probe's A' begins in directions of its own
def test_data_that_says_nothing_gives_directions_of_the_stream(kind):
    _, site = made()
    frames = [
        kind().frames([site], (), 4, silent_evidence([site]), lambda _, s=s: np.random.default_rng(s))
        for s in (0, 0, 1)
    ]
    one, two, other = (f[site.name] for f in frames)
    np.testing.assert_array_equal(one.V, two.V)
    assert np.linalg.norm(one.V[:, :2].T @ other.V[:, :2]) < 1.2  # of sqrt(2) where they were the same


@pytest.mark.parametrize(
    ("basis", "capacity"),
    [
        (Gradient(), 64),
        (Gradient(exhausted="wrap"), None),
        (Gradient(project="left"), 64),
        (Gradient(project="none"), None),
    ],
)
def test_capacity_is_of_directions_that_are_new(basis, capacity):
    assert basis.capacity(64) == capacity
