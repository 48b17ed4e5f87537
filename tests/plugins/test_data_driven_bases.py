"""Data-driven bases: the suite of their kind, and what they have in common."""

import numpy as np
import pytest

from boostlora.engine.errors import ExhaustedError, NonFiniteError
from boostlora.engine.testing import assert_same_subspace
from boostlora.engine.testing.bases import assert_apart, assert_legal, frame_of
from boostlora.engine.testing.data_driven_bases import DataDrivenBasisContract
from boostlora.engine.testing.oracles import MatrixOracle, random_oracle, zero_oracle
from boostlora.plugins.bases.activation import Activation
from boostlora.plugins.bases.gradient import Gradient
from boostlora.plugins.bases.mixed import Mixed
from boostlora.plugins.bases.probe import Probe

from .matrix_sites import made

KINDS = [Gradient, Activation, Probe, Mixed]


class TestGradient(DataDrivenBasisContract):
    orthogonal = grows = True

    def make(self):
        return Gradient()


class TestGradientWithoutOversampling(DataDrivenBasisContract):
    orthogonal = grows = True

    def make(self):
        return Gradient(oversample=0, exhausted="stop")


class TestGradientWrapping(DataDrivenBasisContract):
    def make(self):
        return Gradient(exhausted="wrap")


class TestGradientFree(DataDrivenBasisContract):
    def make(self):
        return Gradient(project="none")


class TestGradientClearOfInputsOnly(DataDrivenBasisContract):
    def make(self):
        return Gradient(project="right")


class TestActivation(DataDrivenBasisContract):
    orthogonal = grows = True

    def make(self):
        return Activation()


class TestProbe(DataDrivenBasisContract):
    orthogonal = grows = True

    def make(self):
        return Probe(steps=3, lr=0.1)


class TestMixed(DataDrivenBasisContract):
    orthogonal = grows = True

    def make(self):
        return Mixed()


class TestMixedOfTheWeightAlone(DataDrivenBasisContract):
    orthogonal = grows = True

    def make(self):
        return Mixed(share=0.0)


class TestMixedOfTheGradientAlone(DataDrivenBasisContract):
    orthogonal = grows = True

    def make(self):
        return Mixed(share=1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_frame_has_canonical_signs_and_the_scale_of_a_typical_direction(kind):
    rng, site = made()
    oracle = random_oracle([site], rng)
    frame = kind().frames([site], (), 4, oracle, lambda _: np.random.default_rng(1))[site.name]
    assert (frame.U[np.argmax(np.abs(frame.U), axis=0), np.arange(4)] > 0).all()
    assert frame.S.tolist() == [site.rms_singular_value()] * 4
    if kind is Gradient:
        slopes = np.diag(frame.U.T @ oracle.gradients[site.name] @ frame.V)
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


@pytest.mark.parametrize("kind", [Gradient, Probe, Mixed])
def test_non_finite_gradient_is_refused_naming_the_site(kind):
    _, site = made()
    G = np.ones(site.shape)
    G[0, 0] = np.nan
    with pytest.raises(NonFiniteError, match=r"layers\.0\.weight: .* NaN or Inf"):
        kind().frames([site], (), 2, MatrixOracle({site.name: G}), lambda _: np.random.default_rng(0))


def test_non_finite_inputs_are_refused_naming_the_site():
    _, site = made()
    oracle = MatrixOracle({}, {site.name: np.full((3, 14), np.inf)}, {site.name: site.W})
    with (
        np.errstate(invalid="ignore"),
        pytest.raises(NonFiniteError, match=r"layers\.0\.weight: .* inputs .* NaN or Inf"),
    ):
        Activation().frames([site], (), 2, oracle, lambda _: np.random.default_rng(0))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_gradients_of_any_size_give_the_same_directions(kind, size):
    rng, site = made()
    usual = random_oracle([site], rng)
    odd = MatrixOracle(
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
def test_zero_data_give_directions_of_the_random_stream(kind):
    _, site = made()
    frames = [
        kind().frames([site], (), 4, zero_oracle([site]), lambda _, s=s: np.random.default_rng(s))
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
def test_capacity_counts_only_new_directions(basis, capacity):
    assert basis.capacity(64) == capacity
