"""Backends whose products are broken on purpose: the suites must catch each, and by the product that is wrong."""

import attrs
import numpy as np
import pytest

from boostlora.backends.reference import products as reference_products
from boostlora.backends.reference.backend import Reference
from boostlora.backends.torch import products as torch_products
from boostlora.backends.torch.backend import Torch
from boostlora.backends.torch.length_groups import by_budget
from boostlora.engine.contracts import Products
from boostlora.engine.testing import BackendContract
from boostlora.engine.testing.assertions import EPS
from boostlora.engine.testing.perceptron import ReferencePerceptron
from boostlora.engine.testing.strategies import sites_of, tiny_mlp

from ..support.hf_modules import torch
from . import test_products_transformers as transformers

SUITE, SITE = BackendContract(), "layers.1.weight"
both = pytest.mark.parametrize("name", ["reference", "torch"])
BACKENDS = {"reference": Reference(), "torch": Torch(device="cpu", dtype="float64")}


@pytest.fixture
def perceptron(tmp_path):
    return ReferencePerceptron(tiny_mlp(tmp_path))


def opened(name, folder):
    source = tiny_mlp(folder)
    return BACKENDS[name].open(source, sites_of(source))


def against_slopes(name, folder, perceptron, site=SITE):
    SUITE.test_products_of_a_gradient_are_slopes_of_the_mean_loss_of_all_batches(
        opened(name, folder), perceptron, EPS, site
    )


def against_rows(name, folder, perceptron):
    SUITE.test_activation_products_are_those_of_the_rows_that_come_in(opened(name, folder), perceptron, EPS)


@both
def test_correct_backends_pass_the_checks_that_broken_ones_fail(name, tmp_path, perceptron):
    against_slopes(name, tmp_path, perceptron)
    against_rows(name, tmp_path, perceptron)


@both
def test_equally_weighted_unequal_batches_are_caught_by_the_slopes(name, tmp_path, perceptron, monkeypatch):
    model = opened(name, tmp_path)
    right = type(model).gradient_products

    def mean_of_batches(self, examples, batches, *, right: dict, left: dict, ask=right):
        each = [ask(self, examples, [b], right=right, left=left) for b in batches if len(b)]
        return {
            site: Products(
                right=np.mean([e[site].right for e in each], axis=0),
                left=np.mean([e[site].left for e in each], axis=0),
            )
            for site in each[0]
        }

    monkeypatch.setattr(type(model), "gradient_products", mean_of_batches)
    with pytest.raises(AssertionError, match=r"right: layers\.1\.weight: off by"):
        against_slopes(name, tmp_path, perceptron)


@both
def test_left_product_with_a_wrong_sign_is_caught_by_the_slopes(name, tmp_path, perceptron, monkeypatch):
    model = opened(name, tmp_path)
    right = type(model).gradient_products

    def turned(self, *given, **named):
        found = right(self, *given, **named)
        return {site: attrs.evolve(p, left=None if p.left is None else -p.left) for site, p in found.items()}

    monkeypatch.setattr(type(model), "gradient_products", turned)
    with pytest.raises(AssertionError, match=r"left: layers\.1\.weight: off by"):
        against_slopes(name, tmp_path, perceptron)


def test_detached_layer_is_caught_by_the_slopes(tmp_path, perceptron, monkeypatch):
    """The first layer's input needs no gradient, and neither does anything else of a frozen model."""
    right = torch_products._product_forward

    def cut(weight, bias, reach, probe):
        first = weight.shape == (6, 4)
        return right(weight, bias, reach.detach() if first else reach, probe)

    assert perceptron.weights["layers.0.weight"].shape == (6, 4)
    monkeypatch.setattr(torch_products, "_product_forward", cut)
    with pytest.raises(AssertionError, match=r"right: layers\.0\.weight: off by"):
        against_slopes("torch", tmp_path, perceptron, "layers.0.weight")


def test_blocked_gradient_is_caught_by_the_slopes(tmp_path, perceptron, monkeypatch):
    right = torch_products.ProductLinear.backward

    def stuck(ctx, *gradients):
        (gradient, *others) = right(ctx, *gradients)
        return (None if gradient is None else torch.zeros_like(gradient), *others)

    monkeypatch.setattr(torch_products.ProductLinear, "backward", staticmethod(stuck))
    with pytest.raises(AssertionError, match="off by"):
        SUITE.test_products_of_one_batch_are_those_of_its_gradient(opened("torch", tmp_path), EPS)


def test_loss_scale_that_is_not_removed_is_caught_in_float16(tmp_path, perceptron, monkeypatch):
    source = tiny_mlp(tmp_path)
    model = Torch(device="cpu", dtype="float16").open(source, sites_of(source))
    right = torch_products.ProductSums.add

    def scaled(self, *given):
        self.share *= 1024.0
        right(self, *given)
        self.share /= 1024.0

    monkeypatch.setattr(torch_products.ProductSums, "add", scaled)
    with pytest.raises(AssertionError, match="off by"):
        SUITE.test_products_of_a_gradient_are_slopes_of_the_mean_loss_of_all_batches(
            model, perceptron, 2.0**-10, SITE
        )


@both
def test_activation_products_without_division_by_rows_are_caught(name, tmp_path, perceptron, monkeypatch):
    model = opened(name, tmp_path)
    right = type(model).activation_products

    def summed(self, examples, batches, factors):
        found = right(self, examples, batches, factors)
        return {site: len(batches) * product for site, product in found.items()}

    monkeypatch.setattr(type(model), "activation_products", summed)
    with pytest.raises(AssertionError, match="activations: layers"):
        against_rows(name, tmp_path, perceptron)


def test_activation_products_of_outputs_are_caught(tmp_path, perceptron, monkeypatch):
    right = reference_products.ActivationGram.forward
    monkeypatch.setattr(reference_products.ActivationGram, "forward", lambda self, X: right(self, np.tanh(X)))
    with pytest.raises(AssertionError, match="activations: layers"):
        against_rows("reference", tmp_path, perceptron)


@pytest.mark.parametrize("kind", ["qwen2", "bert"])
def test_padding_counted_as_rows_is_caught_by_other_batches_and_the_reference(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(torch_products, "by_length", by_budget)
    with pytest.raises(AssertionError, match="one by one: off by"):
        transformers.test_activation_products_do_not_depend_on_batching(kind, tmp_path)
    alike = [attrs.evolve(batch, weights=np.ones(len(batch))) for batch in transformers.BATCHES]
    monkeypatch.setattr(
        transformers, "BATCHES", alike
    )  # examples of other weights are never computed together
    with pytest.raises(AssertionError, match="activations: off by"):
        transformers.test_products_equal_the_references_up_to_float64_rounding(
            kind, BACKENDS["torch"], tmp_path
        )


def test_dense_gradient_is_caught_by_its_shape(tmp_path, monkeypatch):
    right = torch_products.ProductSums.add

    def dense(self, kept, gradient):
        right(self, kept, gradient)
        if kept.shape[1] > 3:
            gradient.T @ kept

    monkeypatch.setattr(torch_products.ProductSums, "add", dense)
    with pytest.raises(AssertionError):
        transformers.test_products_allocate_no_tensor_of_weight_size("llama", "whole", tmp_path)
