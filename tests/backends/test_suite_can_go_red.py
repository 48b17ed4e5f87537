"""Backends broken on purpose: the contract suite must catch each, and by the quantity that is wrong."""

import attrs
import numpy as np
import pytest

from boostlora.backends.reference import deltas, trainables
from boostlora.backends.reference import model as model_module
from boostlora.backends.reference import weights as w
from boostlora.backends.reference.backend import Reference
from boostlora.engine.testing import BackendContract
from boostlora.engine.testing.strategies import sites_of, tiny_mlp

SUITE = BackendContract()


@pytest.fixture
def model(tmp_path):
    source = tiny_mlp(tmp_path)
    return Reference().open(source, sites_of(source))


def test_gradient_with_its_sign_flipped_is_caught_by_finite_differences(model, monkeypatch):
    right = deltas.CoreDelta.gradients
    monkeypatch.setattr(
        deltas.CoreDelta, "gradients", lambda self, X, G: {"core": -right(self, X, G)["core"]}
    )
    with pytest.raises(AssertionError, match="core: v: off by"):
        SUITE.test_gradient_of_every_parametrisation_equals_finite_differences(model, "core")


def test_core_that_is_transposed_in_training_is_caught_by_finite_differences(model, monkeypatch):
    monkeypatch.setattr(
        deltas.CoreDelta, "forward", lambda self, X: ((X @ self.right) @ self.core) @ self.left.T
    )
    with pytest.raises(AssertionError, match="off by"):
        SUITE.test_gradient_of_every_parametrisation_equals_finite_differences(model, "unit-core")


def test_scale_that_is_lost_at_the_merge_is_caught_by_the_merged_weight(model, monkeypatch):
    right = w.merged
    monkeypatch.setattr(
        w, "merged", lambda base, updates, site: right(base, [(u, 1.0) for u, _ in updates], site)
    )
    with pytest.raises(AssertionError, match="merged weight: off by"):
        SUITE.test_merged_weight_is_base_plus_scaled_update(model)


def test_basis_that_is_stale_after_a_merge_is_caught_by_the_weight(model, monkeypatch):
    def never_rebuilt(self, ensemble):
        self._weights = self._assembled([*self._ensemble, *ensemble])
        self._ensemble = [*self._ensemble, *ensemble]

    monkeypatch.setattr(model_module.ReferenceModel, "assemble", never_rebuilt)
    with pytest.raises(AssertionError):
        SUITE.test_ensemble_without_rounds_is_the_base_bit_for_bit(model)


def test_tied_gradient_that_forgets_a_site_is_caught_by_finite_differences(model, monkeypatch):
    right = trainables.CoreTrainable.pull_back

    def only_first(self, gradients):
        found = right(self, gradients)
        if self.frame.U.shape[0] != model.weight("layers.0.weight").shape[0]:
            found = {name: np.zeros_like(value) for name, value in found.items()}
        return found

    monkeypatch.setattr(trainables.CoreTrainable, "pull_back", only_first)
    with pytest.raises(AssertionError, match="tied-cores: v: off by"):
        SUITE.test_gradient_of_every_parametrisation_equals_finite_differences(model, "tied-cores")


def test_sign_of_a_direction_that_is_not_canonical_is_caught(model, monkeypatch):
    right = model_module.leading_triplets

    def flipped(W, count):
        frame = right(W, count)
        return attrs.evolve(frame, U=-frame.U, V=-frame.V)

    monkeypatch.setattr(model_module, "leading_triplets", flipped)
    with pytest.raises(AssertionError):
        SUITE.test_directions_of_a_weight_rebuild_it_with_canonical_signs(model, "layers.0.weight")
