"""Backends whose regression is broken on purpose: the contract suite must catch each, and by the quantity that is wrong."""

import attrs
import pytest

from boostlora.backends.reference import evaluation as reference_evaluation
from boostlora.backends.reference import model as reference_model
from boostlora.backends.reference.backend import Reference
from boostlora.backends.torch.backend import Torch
from boostlora.engine.testing import BackendContract
from boostlora.engine.testing.assertions import EPS
from boostlora.engine.testing.perceptron import ReferencePerceptron
from boostlora.engine.testing.strategies import sites_of, tiny_mlp

pytest.importorskip("torch", reason="breaks the torch backend too")

from boostlora.backends.torch import evaluation as torch_evaluation
from boostlora.backends.torch import round_state

SUITE = BackendContract()
both = pytest.mark.parametrize("name", ["reference", "torch"])
deltas = pytest.mark.parametrize("delta", [None, 0.75])


@pytest.fixture
def perceptron(tmp_path):
    return ReferencePerceptron(tiny_mlp(tmp_path, outputs=1))


@pytest.fixture
def model(name, tmp_path):
    source = tiny_mlp(tmp_path, outputs=1)
    backend = Reference() if name == "reference" else Torch(device="cpu", dtype="float64")
    return backend.open(source, sites_of(source))


def patch_training(monkeypatch, reference, torch):
    """Replace the losses of both backends in training by functions of the right ones."""
    right, also = reference_model.weighted_residual_loss, round_state.residual_loss
    monkeypatch.setattr(reference_model, "weighted_residual_loss", lambda *given: reference(right, *given))
    monkeypatch.setattr(round_state, "residual_loss", lambda *given: torch(also, *given))


def double_gradient(monkeypatch):
    def reference(right, *given):
        loss, gradient = right(*given)
        return loss, 2.0 * gradient

    def torch(right, *given):
        loss = right(*given)
        return 2.0 * loss - loss.detach()

    patch_training(monkeypatch, reference, torch)


@both
@deltas
def test_gradient_of_a_regression_with_a_factor_is_caught_by_finite_differences(
    model, delta, perceptron, monkeypatch
):
    double_gradient(monkeypatch)
    with pytest.raises(AssertionError, match="core: v: off by"):
        SUITE.test_gradient_of_a_regression_equals_finite_differences(model, perceptron, EPS, "core", delta)


@both
@deltas
def test_gradient_of_a_regression_with_a_factor_is_caught_by_the_equation(
    model, delta, perceptron, monkeypatch
):
    double_gradient(monkeypatch)
    with pytest.raises(AssertionError, match="dL/dW of the head: off by"):
        SUITE.test_gradient_of_the_head_of_a_regression_is_that_of_the_equation(model, perceptron, EPS, delta)


@both
def test_threshold_that_is_forgotten_is_caught_by_the_loss_in_training(model, perceptron, monkeypatch):
    def without(right, *given):
        return right(*given[:-1], None)

    patch_training(monkeypatch, without, without)
    with pytest.raises(AssertionError, match="loss: off by"):
        SUITE.test_loss_in_training_of_a_regression_is_that_of_the_equation(model, perceptron, EPS, 0.75)


@both
def test_weights_of_examples_that_are_forgotten_are_caught_by_the_loss_in_training(
    model, perceptron, monkeypatch
):
    right, loss_of = reference_model.weighted_residual_loss, round_state.loss_of
    monkeypatch.setattr(
        reference_model, "weighted_residual_loss", lambda z, y, w, delta: right(z, y, w * 0.0 + 1.0, delta)
    )
    monkeypatch.setattr(
        round_state,
        "loss_of",
        lambda net, batch, *more, whole: loss_of(
            net, attrs.evolve(batch, weights=batch.weights * 0.0 + 1.0), *more, whole=whole
        ),
    )
    with pytest.raises(AssertionError, match="loss: off by"):
        SUITE.test_loss_in_training_of_a_regression_is_that_of_the_equation(model, perceptron, EPS, None)


@both
def test_evaluation_by_another_loss_is_caught(model, perceptron, monkeypatch):
    for module, losses in ((reference_evaluation, "residual_losses"), (torch_evaluation, "residual_loss")):
        right = getattr(module, losses)
        monkeypatch.setattr(module, losses, lambda *given, right=right: right(*given) / 2.0)
    with pytest.raises(AssertionError, match="squared errors: off by"):
        SUITE.test_evaluation_of_a_regression_is_values_and_their_squared_errors(model, perceptron, EPS, None)
