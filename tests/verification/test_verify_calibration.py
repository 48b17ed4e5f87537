"""Bases that hear the data under verification: what is right passes, and products that are wrong are caught as such."""

import attrs
import numpy as np
import pytest

from boostlora.engine.boosting.experiment import prepare
from boostlora.engine.boosting.loop import boost
from boostlora.engine.contracts import Frame, Products
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.spec import Slot
from boostlora.engine.verification.criterion import Criterion
from boostlora.engine.verification.gradient_products import ACTIVATIONS, GRADIENTS, OracleQuery
from boostlora.engine.verification.recorded import Recording
from boostlora.engine.verification.session import at
from boostlora.engine.verification.stored_frames import _check_frame, _missing_capture
from boostlora.engine.verification.verify import verify

from .broken_backends import Proxy

GRADIENT = ("basis.use=gradient", "adapter.use=lora-xs", "adapter.rank=2")
KINDS = {
    "gradient": (GRADIENT, "gradient products"),
    "activation": ((*GRADIENT, "basis.use=activation"), "activation products"),
    "mixed": ((*GRADIENT, "basis.use=mixed"), "gradient products"),
    "steepest": ((*GRADIENT, "basis.use=rotate", "boosting.top_sites=1"), "gradient products"),
    "steepest of gradient": ((*GRADIENT, "boosting.top_sites=1"), "gradient products"),
    "diagonal": ((*GRADIENT, "adapter.use=diagonal"), "gradient products"),
    "refit": ((*GRADIENT, "boosting.refit_every=1"), "gradient products"),
}
few = pytest.mark.parametrize("right", ["reference float64", "torch float32"], indirect=True)
WITHOUT = ("adapter.u",)


@pytest.fixture
def spec_of(registry, small_settings):
    """The small quickstart with an informed basis, and a backend in it."""
    from boostlora.engine.spec.resolve import load_spec

    kept = tuple(s for s in small_settings if not s.startswith(WITHOUT))

    def make(backend, *settings):
        spec = load_spec("paper/digits", registry, (*kept, *settings))
        return attrs.evolve(spec, slots={**spec.slots, "backend": Slot(use="candidate", plugin=backend)})

    return make


class Changed(Proxy):
    """Products of gradients go through `change` before they are told."""

    def gradient_products(self, examples, batches, *, right, left):
        found = self.right.gradient_products(examples, batches, right=right, left=left)
        return {site: self.change(site, products) for site, products in found.items()}


class HalfOfLeft(Changed):
    """`G'Q` at half of its size."""

    def change(self, site, products):
        return attrs.evolve(products, left=None if products.left is None else 0.5 * products.left)


class SignOfSite(Changed):
    """One site has its sign turned around."""

    def change(self, site, products):
        sign = -1.0 if site == "layers.1.weight" else 1.0
        turned = (None if x is None else sign * x for x in (products.right, products.left))
        return Products(**dict(zip(("right", "left"), turned, strict=True)))


class Unheard(Changed):
    """Says nothing of a side."""

    def change(self, site, products):
        return Products()


class MeanOfBatches(Proxy):
    """Every batch counts alike, whatever its size."""

    def gradient_products(self, examples, batches, *, right, left):
        each = [self.right.gradient_products(examples, [b], right=right, left=left) for b in batches]

        def mean(site, side):
            found = [getattr(one[site], side) for one in each]
            return None if found[0] is None else np.mean(found, axis=0)

        return {site: Products(right=mean(site, "right"), left=mean(site, "left")) for site in each[0]}


class SumOfRows(Proxy):
    """`X'X O`, not divided by the rows."""

    def activation_products(self, examples, batches, right):
        rows = sum(map(len, batches))
        found = self.right.activation_products(examples, batches, right)
        return {site: rows * product for site, product in found.items()}


class Raising(Proxy):
    """Something nobody thought of."""

    def gradient_products(self, examples, batches, *, right, left):
        raise RuntimeError("out of memory")


@pytest.mark.parametrize("kind", KINDS)
def test_correct_backend_passes_with_products_compared(check, right, kind):
    settings, quantity = KINDS[kind]
    result = check(right, *settings)
    assert result.passed, result.first
    assert result.rounds == 2
    found = {(f.round, f.where) for f in result.findings if f.quantity == quantity and f.compared}
    fresh = (1,) if kind == "refit" else (1, 2)
    assert found == {(number, f"layers.{i}.weight") for number in fresh for i in (0, 1)}
    rows = {row.quantity for row in result.rows()}
    assert ("frames" in rows) == (kind == "steepest"), "vectors that hang on data are not compared"
    assert {"gradient", "core", "update", "merged weight"} <= rows


@few
@pytest.mark.parametrize(
    ("fault", "kind", "quantity"),
    [
        (HalfOfLeft, "gradient", "gradient products"),
        (SignOfSite, "mixed", "gradient products"),
        (SignOfSite, "steepest", "gradient products"),
        (Unheard, "gradient", "gradient products"),
        (Raising, "gradient", "gradient products"),
        (SumOfRows, "activation", "activation products"),
    ],
)
def test_faulty_products_are_detected_in_the_first_round_by_their_quantity(
    check, broken, fault, kind, quantity
):
    result = check(broken(fault), *KINDS[kind][0])
    assert (result.first.round, result.first.quantity) == (1, quantity)
    assert result.first.ratio > 10.0


@few
def test_equal_weights_of_unequal_batches_are_detected(check, broken):
    """Drawn batches are of one size; with every example once they are not, in 7 parts."""
    settings = (*GRADIENT, "basis.examples=0", "basis.batches=7", "basis.data=all")
    assert check(broken(), *settings).passed
    result = check(broken(MeanOfBatches), *settings)
    assert (result.first.round, result.first.quantity) == (1, "gradient products")


def test_probe_basis_is_reported_as_not_compared(check, registry):
    result = check(registry.entries("backend")["reference"].cls(), *GRADIENT, "basis.use=probe")
    assert result.passed
    assert result.notes == (
        "rounds 1, 2: its basis trained a probe, whose directions are the truth's; that training was not compared",
    )


def test_refit_without_a_merged_round_is_said_to_have_nothing_to_train(check, registry):
    settings = (*GRADIENT, "boosting.refit_every=1", "merge.use=line-search", "optimizer.lr=50.0")
    result = check(registry.entries("backend")["reference"].cls(), *settings)
    assert result.passed, result.first
    assert result.notes == (
        "round 1: the merge policy refused the update",
        "round 2: no merged round has cores to refit",
    )


# -- Runs


@pytest.fixture
def played(registry, spec_of, tmp_path, monkeypatch, shared_cache):
    """Play a run by a backend, whose models have a fault meanwhile: its folder."""

    def run(backend, *settings, fault=Proxy):
        spec, opened = spec_of(backend, *settings), type(backend).open
        directory = RunDirectory.create(tmp_path / "run", spec)
        with monkeypatch.context() as patch:
            patch.setattr(type(backend), "open", lambda *given: fault(opened(*given)))
            boost(prepare(spec), directory, registry, RunContext(cache=shared_cache))
        return directory, spec

    return run


def replayed(registry, directory, spec, backend):
    made_in = Criterion(dtype=getattr(spec.backend, "dtype", "float64"))
    slots = {**spec.slots, "backend": Slot(use="candidate", plugin=backend)}
    recording = Recording(directory=directory, criterion=made_in)
    return verify(attrs.evolve(spec, slots=slots), registry, RunContext(), recording=recording)


@few
@pytest.mark.parametrize("kind", KINDS)
def test_run_with_a_data_driven_basis_is_replayed_in_its_frames(registry, played, right, kind):
    directory, spec = played(right, *KINDS[kind][0], "rounds=3")
    assert len(directory.records) == 4
    result = replayed(registry, directory, spec, registry.entries("backend")["reference"].cls())
    assert result.passed, result.first
    found = [f for f in result.findings if f.quantity == "recorded frames"]
    assert {f.round for f in found} == {1, 2, 3}
    assert {"recorded update", "recorded loss"} <= {row.quantity for row in result.rows()}
    assert [note for note in result.notes if "first gradient" not in note] == []


@few
@pytest.mark.parametrize(("fault", "kind"), [(HalfOfLeft, "gradient"), (SumOfRows, "activation")])
def test_run_with_harmlessly_scaled_frames_passes(registry, played, right, fault, kind):
    """Half a gradient has the same directions: frames on disk are held to what they are, not to how they were found."""
    directory, spec = played(right, *KINDS[kind][0], fault=fault)
    result = replayed(registry, directory, spec, registry.entries("backend")["reference"].cls())
    assert result.passed, result.first


class Noise(Changed):
    """Nothing of the gradient, and all of a generator."""

    def change(self, site, products):
        rng = np.random.default_rng(len(site))
        return Products(
            right=None if products.right is None else rng.standard_normal(products.right.shape),
            left=None if products.left is None else rng.standard_normal(products.left.shape),
        )


@few
def test_run_whose_frames_miss_the_gradient_is_detected(registry, played, right):
    directory, spec = played(right, *GRADIENT, fault=Noise)
    result = replayed(registry, directory, spec, registry.entries("backend")["reference"].cls())
    assert (result.first.round, result.first.quantity) == (1, "recorded frames")
    assert result.first.note == "less captured of gradient products"
    assert result.first.ratio > 10.0


WHERE = at(1, "recorded frames", "W")
DOUBLE = Criterion(dtype="float64")


def orthonormal(rng, rows, count):
    return np.linalg.qr(rng.standard_normal((rows, count)))[0]


def shape_faults(right, found, used=()):
    return [f.note for f in _check_frame(WHERE, right, found, used, DOUBLE) if f.departed]


def test_recorded_frame_is_orthonormal_scaled_as_the_truths_and_keeps_clear_of_earlier_rounds():
    rng = np.random.default_rng(0)
    U, V = orthonormal(rng, 9, 4), orthonormal(rng, 7, 4)
    used = [Frame(U=U[:, 2:], S=np.ones(2), V=V[:, 2:])]
    right = Frame(U=U[:, :2], S=np.ones(2), V=V[:, :2])
    turn = orthonormal(rng, 2, 2)
    turned = attrs.evolve(right, U=right.U @ turn, V=right.V @ turn)
    assert shape_faults(right, turned, used) == [], "directions that are as good may be turned"
    assert shape_faults(right, attrs.evolve(right, S=1.1 * right.S)) == ["singular values"]
    assert shape_faults(right, attrs.evolve(right, U=1.001 * right.U)) == ["U: orthonormal columns"]
    again = attrs.evolve(right, V=np.c_[V[:, 0], V[:, 2]])
    assert shape_faults(right, again, used) == ["V: orthogonal to earlier rounds"]
    assert shape_faults(again, again, used) == [], "what the truth's own frame does not promise is not asked"


@pytest.mark.parametrize("kind", [GRADIENTS, ACTIVATIONS])
def test_lack_is_positive_for_frames_that_capture_less_but_not_for_rotated_ones(kind):
    rng = np.random.default_rng(1)
    U, V = orthonormal(rng, 9, 6), orthonormal(rng, 9, 6)
    strengths = np.array([5.0, 5.0, 3.0, 1.0, 0.5, 0.1])  # two that are alike
    M = (U * strengths) @ V.T if kind == GRADIENTS else (V * strengths) @ V.T
    turn = orthonormal(rng, 2, 2)
    best = Frame(U=U[:, :2], S=np.ones(2), V=V[:, :2])
    alike = Frame(U=U[:, :2] @ turn, S=np.ones(2), V=V[:, :2] @ turn)
    worse = Frame(U=U[:, [0, 2]], S=np.ones(2), V=V[:, [0, 2]])
    asked = OracleQuery(kind=kind, examples=None, batches=[], right={})
    for frame, lacks in ((best, False), (alike, False), (worse, True)):
        error, room = _missing_capture(asked, (best, frame), M @ np.hstack([best.V, frame.V]), 1e-12)
        assert (error > room) is lacks
