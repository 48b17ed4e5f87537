"""Whole transformers against finite differences of their own predictions, and training on them."""

import attrs
import numpy as np
import pytest

from boostlora.backends.reference.backend import Reference
from boostlora.backends.reference.stack import lowest_block
from boostlora.engine.contracts import (
    DenseUpdate,
    Step,
)
from boostlora.engine.testing import assert_close

from ..support.tiny_transformers import (
    BATCH,
    NETS,
    examples_for,
    open_net,
    request_of,
    sites_of,
    source_of,
)

H = 1e-5
DIFFERENCES = {"atol": 1e-8, "rtol": 1e-6}
"""Central differences of losses of size 1 to 10: h^2 = 1e-10 from curvature, 10 eps / h = 2e-10 from rounding, with room."""


def batch_loss(model, examples, updates, batch=BATCH):
    """`sum_i w_i loss_i / b`, from the losses that the model predicts."""
    losses = model.predict(examples.take(batch.indices), updates).loss
    return float(np.sum(batch.weights * losses) / len(batch.indices))


def unit(rng, shape):
    """A random direction of length 1."""
    D = rng.standard_normal(shape)
    return D / np.linalg.norm(D)


@pytest.mark.parametrize("kind", NETS)
def test_gradient_of_every_weight_equals_finite_differences(kind, tmp_path):
    source = source_of(tmp_path, *NETS[kind])
    model, examples = Reference().open(source, sites_of(source)), examples_for(kind)
    rng = np.random.default_rng(1)
    for site in sites_of(source):
        gradient = model.gradient(site.name, examples, BATCH)
        assert gradient.shape == site.shape
        assert np.abs(gradient).max() > 1e-6, f"{site.name} does not matter"
        for _ in range(2):  # the slope along a random direction catches any entry that is wrong
            D = unit(rng, site.shape)
            up, down = (
                batch_loss(model, examples, {site.name: DenseUpdate(delta=sign * H * D)}) for sign in (1, -1)
            )
            assert_close(
                np.sum(gradient * D), (up - down) / (2 * H), **DIFFERENCES, what=f"{kind}: {site.name}"
            )


@pytest.mark.parametrize("kind", ["llama", "bert", "esm", "classifier-llama"])
def test_traced_gradients_of_every_parametrisation_equal_finite_differences(kind, tmp_path):
    source, steps = source_of(tmp_path, *NETS[kind]), list[Step]()
    model, examples, sites = Reference().open(source, sites_of(source)), examples_for(kind), sites_of(source)
    request = request_of(model, sites, examples, steps=3, trace=steps.append)
    training, bound = model.train(request), model.bind(request)
    assert [step.number for step in steps] == [1, 2, 3]
    np.testing.assert_array_equal([step.loss for step in steps], training.losses)
    before, rng = steps[0].values, np.random.default_rng(3)  # away from zero: B has moved
    assert_close(
        steps[1].loss, batch_loss(model, examples, updates_at(bound, before)), atol=1e-11, what="loss"
    )
    for name, gradient in steps[1].gradients.items():
        D = unit(rng, gradient.shape)
        up, down = (
            batch_loss(model, examples, updates_at(bound, {**before, name: before[name] + sign * H * D}))
            for sign in (1, -1)
        )
        assert_close(np.sum(gradient * D), (up - down) / (2 * H), **DIFFERENCES, what=f"{kind}: {name}")
    for name, value in training.values.items():
        np.testing.assert_array_equal(steps[2].values[name], value)


def updates_at(bound, values):
    return {site: trainable.update(values) for site, trainable in bound.items()}


def test_traced_arrays_are_copies(tmp_path):
    model, steps = open_net(tmp_path, "bert"), list[Step]()

    def spoil(step):
        steps.append(step)
        for array in [*step.values.values(), *step.gradients.values()]:
            array[...] = np.nan

    request = request_of(model, sites_of(source_of(tmp_path, *NETS["bert"])), examples_for("bert"), steps=3)
    plain, spoilt = model.train(request), model.train(attrs.evolve(request, trace=spoil))
    assert len(steps) == 3
    for name, value in plain.values.items():
        np.testing.assert_array_equal(spoilt.values[name], value)


@pytest.mark.parametrize("kind", ["llama", "esm"])
def test_backward_pass_stops_below_the_lowest_site(kind, tmp_path, monkeypatch):
    source, examples = source_of(tmp_path, *NETS[kind]), examples_for(kind)
    every = sites_of(source)
    upper = [site for site in every if ".1." in site.name]
    all_of_it, visited = Reference().open(source, every), list[int]()
    model = Reference().open(source, upper)
    body = model._net._backbone
    right = type(body).block_backward

    def watched(self, linears, layer, *rest):
        visited.append(layer)
        return right(self, linears, layer, *rest)

    monkeypatch.setattr(type(body), "block_backward", watched)
    gradient = model.gradient(upper[0].name, examples, BATCH)
    assert visited == [1]
    np.testing.assert_array_equal(gradient, all_of_it.gradient(upper[0].name, examples, BATCH))
    assert visited == [1, 1, 0]


def test_lowest_block_is_read_from_paths():
    assert lowest_block(None, 5) == 0
    assert lowest_block(frozenset({"lm_head.weight"}), 5) == 5
    sites = {"model.layers.3.mlp.up_proj.weight", "model.encoder.layer.2.output.dense.weight", "head.weight"}
    assert lowest_block(frozenset(sites), 5) == 2
