"""The reference in float32: the yardstick of how much rounding an honest computation has."""

import numpy as np
import pytest

from boostlora.backends.reference.backend import Reference
from boostlora.engine.contracts import DenseUpdate, Step
from boostlora.engine.testing import assert_close

from ..support.tiny_transformers import BATCH, NETS, examples_for, open_net, request_of, sites_of, source_of

SINGLE = Reference(dtype="float32")


def test_float32_itemsize_follows_the_dtype():
    assert (Reference().itemsize, SINGLE.itemsize) == (8, 4)


@pytest.mark.parametrize("kind", NETS)
def test_float32_answers_are_close_to_float64_but_not_equal(kind, tmp_path):
    examples = examples_for(kind)
    exact, rounded = (open_net(tmp_path, kind, b).logits(examples) for b in (Reference(), SINGLE))
    assert rounded.dtype == np.float64
    # Logits of size 1 to 10 through some 30 sums of a dozen terms, each off by 6e-8 of its size.
    assert_close(rounded, exact, atol=1e-4, what=kind)
    np.testing.assert_array_equal(rounded, rounded.astype(np.float32))
    assert np.abs(rounded - exact).max() > 1e-8


@pytest.mark.parametrize("kind", NETS)
def test_float32_model_has_no_float64_arrays(kind, tmp_path):
    source, examples = source_of(tmp_path, *NETS[kind]), examples_for(kind)
    model, sites = SINGLE.open(source, sites_of(source)), sites_of(source)
    request = request_of(model, sites, examples)
    trainables = model.bind(request)
    values = {n: v.astype(np.float32) for t in trainables.values() for n, v in t.initial().items()}
    deltas = {site: trainable.delta(values) for site, trainable in trainables.items()}
    _, pairs = model._loss_and_pairs(examples, BATCH, deltas)
    assert {array.dtype for pair in pairs.values() for array in pair} == {np.dtype(np.float32)}
    _, gradients = model.loss_and_gradients(trainables, values, examples, BATCH)
    assert {gradient.dtype for gradient in gradients.values()} == {np.dtype(np.float32)}
    update = {sites[0].name: DenseUpdate(delta=np.ones(sites[0].shape))}
    assert {w.dtype for w in model._merged_weights([(update, 0.3)]).values()} == {np.dtype(np.float32)}


def test_float32_training_is_close_to_float64_and_returns_float64(tmp_path):
    source, examples = source_of(tmp_path, *NETS["llama"]), examples_for("llama")
    sites, found = sites_of(source), list[object]()
    for backend in (Reference(), SINGLE):
        model, steps = backend.open(source, sites), list[Step]()
        training = model.train(request_of(model, sites, examples, steps=5, trace=steps.append))
        found.append(training)
        if backend is SINGLE:
            for step in steps:
                for array in (*step.values.values(), *step.gradients.values()):
                    np.testing.assert_array_equal(array, array.astype(np.float32))
        assert {v.dtype for s in steps for v in (*s.values.values(), *s.gradients.values())} == {
            np.dtype(np.float64)
        }
        assert all(array.dtype == np.float64 for u in training.updates.values() for array in u.factors())
    exact, rounded = found
    # Gradients of size 1 to 10, off by some 1e-6 of their size; five steps of 0.01 of them.
    assert_close(rounded.losses, exact.losses, atol=1e-4, what="losses")
    for name, value in exact.values.items():
        assert_close(rounded.values[name], value, atol=1e-5, rtol=1e-5, what=name)
    assert any(np.abs(rounded.values[n] - v).max() > 1e-9 for n, v in exact.values.items())


def test_float32_model_has_the_directions_of_float64(tmp_path):
    source = source_of(tmp_path, *NETS["bert"])
    model = SINGLE.open(source, sites_of(source))
    site = "model.encoder.layer.0.intermediate.dense.weight"
    frame, W = model.directions(site, 10), model.weight(site)
    assert_close((frame.U * frame.S) @ frame.V.T, W, atol=1e-14, what="W, as it is in float32")
    assert frame.departure() < 1e-14
