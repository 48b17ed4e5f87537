"""Backends broken on purpose: the contract suite must catch each, and by the quantity that is wrong."""

import attrs
import numpy as np
import pytest

from boostlora.backends.reference import deltas, trainables
from boostlora.backends.reference import model as reference_model
from boostlora.backends.reference import weights as reference_weights
from boostlora.backends.reference.backend import Reference
from boostlora.backends.reference.evaluation import Targets
from boostlora.backends.torch.backend import Torch
from boostlora.engine.testing import BackendContract
from boostlora.engine.testing.assertions import EPS
from boostlora.engine.testing.perceptron import ReferencePerceptron
from boostlora.engine.testing.strategies import sites_of, tiny_mlp

torch = pytest.importorskip("torch", reason="breaks the torch backend too")

from boostlora.backends.torch import deltas as torch_deltas  # noqa: E402 - needs torch
from boostlora.backends.torch import losses as torch_losses  # noqa: E402
from boostlora.backends.torch import model as torch_model  # noqa: E402
from boostlora.backends.torch import trainables as torch_trainables  # noqa: E402
from boostlora.backends.torch import weights as torch_weights  # noqa: E402

SUITE = BackendContract()
both = pytest.mark.parametrize("name", ["reference", "torch"])


@pytest.fixture
def perceptron(tmp_path):
    return ReferencePerceptron(tiny_mlp(tmp_path))


def opened(name, folder):
    source = tiny_mlp(folder)
    backend = Reference() if name == "reference" else Torch(device="cpu", dtype="float64")
    return backend.open(source, sites_of(source))


def finite_differences_of(kind, name, tmp_path, perceptron):
    SUITE.test_gradient_of_every_parametrisation_equals_finite_differences(
        opened(name, tmp_path), kind, perceptron, EPS
    )


@both
def test_sign_flipped_gradient_is_caught_by_finite_differences(name, tmp_path, perceptron, monkeypatch):
    gradients, backward = deltas.CoreDelta.gradients, torch_deltas.CoreLinear.backward
    monkeypatch.setattr(
        deltas.CoreDelta, "gradients", lambda self, X, G: {"core": -gradients(self, X, G)["core"]}
    )

    def flipped(ctx, gradient):
        *others, core, last = backward(ctx, gradient)
        return (*others, -core, last)

    monkeypatch.setattr(torch_deltas.CoreLinear, "backward", staticmethod(flipped))
    with pytest.raises(AssertionError, match="core: v: off by"):
        finite_differences_of("core", name, tmp_path, perceptron)


@both
def test_transposed_core_is_caught_by_finite_differences(name, tmp_path, perceptron, monkeypatch):
    monkeypatch.setattr(
        deltas.CoreDelta, "forward", lambda self, X: ((X @ self.right) @ self.core) @ self.left.T
    )
    right = torch_deltas.CoreAdapter
    monkeypatch.setattr(torch_trainables, "CoreAdapter", lambda left, core, last: right(left, core.T, last))
    with pytest.raises(AssertionError, match="off by"):
        finite_differences_of("unit-core", name, tmp_path, perceptron)


@both
def test_ignored_example_weights_are_caught_by_finite_differences(name, tmp_path, perceptron, monkeypatch):
    row_weights, weights = Targets.row_weights, torch_losses.Targets.weights
    monkeypatch.setattr(Targets, "row_weights", lambda self, given: row_weights(self, np.ones_like(given)))
    monkeypatch.setattr(
        torch_losses.Targets, "weights", lambda self, given, batch: weights(self, np.ones_like(given), batch)
    )
    with pytest.raises(AssertionError, match="core: v: off by"):
        finite_differences_of("core", name, tmp_path, perceptron)


@both
def test_swapped_frame_sides_are_caught_by_the_rebuilt_weight(name, tmp_path, perceptron, monkeypatch):
    def exchanged(right):
        def broken(W, count):
            frame = right(W, count)
            return attrs.evolve(frame, U=np.roll(frame.U, 1, axis=1))

        return broken

    for module in (reference_model, torch_model):
        monkeypatch.setattr(module, "leading_triplets", exchanged(module.leading_triplets))
    with pytest.raises(AssertionError, match=r"layers\.0\.weight: off by"):
        SUITE.test_directions_of_a_weight_rebuild_it_with_canonical_signs(
            opened(name, tmp_path), "layers.0.weight", perceptron
        )


@both
def test_scale_ignored_by_the_merge_is_caught_by_the_merged_weight(name, tmp_path, perceptron, monkeypatch):
    def without_scales(right):
        return lambda base, updates, *more: right(base, [(u, 1.0) for u, _ in updates], *more)

    monkeypatch.setattr(reference_weights, "merged", without_scales(reference_weights.merged))
    monkeypatch.setattr(torch_weights, "merge_into", without_scales(torch_weights.merge_into))
    with pytest.raises(AssertionError, match="merged weight: off by"):
        SUITE.test_merged_weight_is_base_plus_scaled_update(opened(name, tmp_path), perceptron, EPS)


@both
def test_merge_onto_merged_weights_is_caught_by_the_base(name, tmp_path, monkeypatch):
    for kind in (reference_model.ReferenceModel, torch_model.TorchModel):

        def never_from_the_base(self, ensemble, right=kind.assemble):
            right(self, [*self._ensemble, *ensemble])

        monkeypatch.setattr(kind, "assemble", never_from_the_base)
    with pytest.raises(AssertionError):
        SUITE.test_ensemble_without_rounds_is_the_base_bit_for_bit(opened(name, tmp_path))


@both
def test_stale_basis_is_caught_by_the_rebuilt_weight(name, tmp_path, perceptron, monkeypatch):
    """Directions of the merged weight where the base's were asked for."""
    model = opened(name, tmp_path)
    right = type(model).directions
    monkeypatch.setattr(
        type(model),
        "directions",
        lambda self, site, count, merged=False: right(self, site, count, merged=True),
    )
    SUITE.test_merged_weight_is_base_plus_scaled_update(
        model, perceptron, EPS
    )  # leaves it with a round merged
    with pytest.raises(AssertionError, match=r"layers\.1\.weight: off by"):
        SUITE.test_directions_of_a_weight_rebuild_it_with_canonical_signs(
            model, "layers.1.weight", perceptron
        )


@both
def test_tied_gradient_missing_a_site_is_caught_by_finite_differences(
    name, tmp_path, perceptron, monkeypatch
):
    pull_back, assemble = trainables.CoreTrainable.pull_back, torch_trainables.Cores.assemble

    def only_first(self, gradients):
        found = pull_back(self, gradients)
        first = self.frame.U.shape[0] == perceptron.weights["layers.0.weight"].shape[0]
        return found if first else {name: np.zeros_like(value) for name, value in found.items()}

    def second_detached(self):
        first, *others = assemble(self).items()
        return dict([first]) | {site: core.detach().requires_grad_() for site, core in others}

    monkeypatch.setattr(trainables.CoreTrainable, "pull_back", only_first)
    monkeypatch.setattr(torch_trainables.Cores, "assemble", second_detached)
    with pytest.raises(AssertionError, match="tied-cores: v: off by"):
        finite_differences_of("tied-cores", name, tmp_path, perceptron)


@both
def test_non_canonical_sign_of_a_direction_is_caught(name, tmp_path, perceptron, monkeypatch):
    def flipped(right):
        def broken(W, count):
            frame = right(W, count)
            return attrs.evolve(frame, U=-frame.U, V=-frame.V)

        return broken

    for module in (reference_model, torch_model):
        monkeypatch.setattr(module, "leading_triplets", flipped(module.leading_triplets))
    with pytest.raises(AssertionError):
        SUITE.test_directions_of_a_weight_rebuild_it_with_canonical_signs(
            opened(name, tmp_path), "layers.0.weight", perceptron
        )


def test_unmasked_padding_is_caught_by_comparison_with_the_module(tmp_path, monkeypatch):
    from boostlora.backends.torch.nets import PaddedTokens

    from . import test_every_backend_transformers as suite

    right = PaddedTokens.of.__func__

    def unmasked(cls, *given, **named):
        found = right(cls, *given, **named)
        return attrs.evolve(found, mask=torch.ones_like(found.mask))

    monkeypatch.setattr(PaddedTokens, "of", classmethod(unmasked))
    with pytest.raises(AssertionError, match="logits: off by"):
        suite.test_logits_of_a_batch_equal_those_of_the_module_one_by_one(
            suite.BACKENDS["torch"], "bert", tmp_path
        )
