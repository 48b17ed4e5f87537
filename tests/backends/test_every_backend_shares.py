"""What backends were given by the same hand: shares of examples and of tokens, on every backend, held to formulas written out here.

Both would agree on a share that is wrong in both; so nothing here asks a backend what another one says.
"""

import attrs
import numpy as np
import pytest

from boostlora.backends.torch.backend import Torch
from boostlora.backends.torch.devices import Float64Mode
from boostlora.engine.boosting.calibration import _on_policy
from boostlora.engine.contracts import Batch
from boostlora.engine.testing import assert_close
from boostlora.plugins.objectives.grpo import joined
from boostlora.plugins.optimizers.sgd import Sgd

from ..support.hf_modules import DECODERS, texts, torch
from .policy_cases import BACKENDS, answered, batch_of, log_p_of, rows_of, starts_of, updates_at
from .test_every_backend_transformers import module_of
from .training_transformers import gradients, opened, request_for

WAYS = {**BACKENDS, "torch-one-by-one": Torch(device="cpu", dtype="float64", micro_batch=1, eval_tokens=1)}
SILENT = (1, 3)
"""Examples without a token to be predicted."""
BATCH = Batch(indices=np.array([1, 0, 1, 3, 5, 0, 6]), weights=np.array([2.0, 0.5, 1.0, 3.0, 1.5, 0.25, 1.0]))
"""Two examples twice, with other weights; three rows that say nothing."""


def with_empty_targets(kind):
    """Texts of a kind, some of which have no completion."""
    examples, places = texts(kind), list(SILENT)
    starts = examples.inputs.starts.copy()
    starts[places] = examples.inputs.lengths[places]
    return attrs.evolve(examples, inputs=attrs.evolve(examples.inputs, starts=starts))


def loss_of(model, examples, batch):
    """`-1/b sum_i w_i 1/n_i sum_t log p(y_it)`, an example at a time; one without a token adds nothing, and counts in b."""
    total = 0.0
    for index, weight in zip(batch.indices.tolist(), batch.weights.tolist(), strict=True):
        if index not in SILENT:
            total -= weight * float(np.mean(log_p_of(model, examples.take(np.array([index])), 1.0)))
    return total / len(batch.indices)


@pytest.mark.parametrize("backend", WAYS.values(), ids=WAYS)
def test_gradient_of_shares_is_the_slope_of_the_loss_by_definition(backend, tmp_path):
    model, sites = opened("qwen2", tmp_path, backend)
    examples = with_empty_targets("qwen2")
    request = attrs.evolve(request_for(model, sites, "qwen2"), examples=examples, batches=[BATCH])

    def loss(values):
        model.assemble([(updates_at(request, values), 1.0)])
        found = loss_of(model, examples, BATCH)
        model.assemble([])
        return found

    steps, start, group = [], starts_of(request), "group.0"
    model.train(attrs.evolve(request, learning_rates=np.zeros(1), trace=steps.append))
    assert_close(steps[0].loss, loss(start), atol=1e-12, what="loss")
    numeric = np.empty(3)
    for i in range(3):
        up, down = (loss({**start, group: start[group] + s * 1e-5 * np.eye(3)[i]}) for s in (1, -1))
        numeric[i] = (up - down) / 2e-5
    # Central differences: rounding eps * loss / h is 1e-10, curvature h^2 is as small.
    assert_close(steps[0].gradients[group], numeric, atol=1e-8, rtol=1e-6, what=group)


@pytest.mark.parametrize("backend", WAYS.values(), ids=WAYS)
def test_examples_without_target_tokens_have_zero_loss_and_gradient(backend, tmp_path):
    model, sites = opened("qwen2", tmp_path, backend)
    examples, places = with_empty_targets("qwen2"), np.array(SILENT)
    said = model.predict(examples)
    assert np.flatnonzero(said.targets == 0).tolist() == list(SILENT)
    np.testing.assert_array_equal(said.loss[places], np.zeros(2))
    np.testing.assert_array_equal(model.predict(examples.take(places)).loss, np.zeros(2))
    assert model.logits(examples.take(places)).shape[0] == 0
    alone = Batch(indices=places, weights=np.array([2.0, 1.0]))
    request = attrs.evolve(request_for(model, sites, "qwen2"), examples=examples, batches=[alone])
    for group, gradient in gradients(model, request).items():
        np.testing.assert_array_equal(gradient, np.zeros_like(gradient), err_msg=group)


def rows_in(module, sites, examples):
    """What comes into every site for each text alone, heard by hooks on Hugging Face's own module: `(tokens, d_in)` a text."""
    heard = {site.name: [] for site in sites}
    layers = dict(module.named_modules())
    for name, rows in heard.items():
        layers[name.removesuffix(".weight")].register_forward_pre_hook(
            lambda _, args, rows=rows: rows.append(args[0][0].numpy().copy())
        )
    with torch.no_grad(), Float64Mode():
        for sequence in examples.inputs:
            module(input_ids=torch.from_numpy(sequence[None].astype(np.int64)))
    return heard


@pytest.mark.parametrize("kind", [kind for kind in DECODERS if kind != "gpt2"])
@pytest.mark.parametrize("backend", WAYS.values(), ids=WAYS)
def test_second_moments_weight_tokens_by_their_text(backend, kind, tmp_path):
    """`sum_i w_i X_i'X_i O / sum_i w_i n_i` over the texts of all batches, a text that comes twice with both its weights."""
    model, sites = opened(kind, tmp_path, backend)
    sites = [site for site in sites if "lm_head" not in site.name]  # whose rows are not one a token
    examples, batches = texts(kind), [BATCH.take(np.arange(4)), BATCH.take(np.array([6, 5, 4]))]
    right = {s.name: np.random.default_rng(i).standard_normal((s.shape[1], 2)) for i, s in enumerate(sites)}
    found = model.activation_products(examples, batches, right)
    heard = rows_in(module_of(kind, tmp_path), sites, examples)
    pairs = list(zip(BATCH.indices.tolist(), BATCH.weights.tolist(), strict=True))
    for site, O in right.items():  # noqa: E741 - as the contract has it
        rows = heard[site]
        total = sum(w * rows[i].T @ (rows[i] @ O) for i, w in pairs)
        expected = total / sum(w * len(rows[i]) for i, w in pairs)
        # Two layers in float64, sums in another order.
        assert_close(found[site], expected, atol=1e-12 * np.abs(expected).max(), what=site)


@pytest.mark.parametrize("backend", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("limit", [0.5, 1e3])
def test_clipping_uses_the_norm_over_all_trained_parameters(backend, limit, tmp_path):
    """A step of descent along `g min(1, limit / ||g||)`, the norm taken over the vectors of all groups together."""
    model, sites = opened("qwen2", tmp_path, backend)
    request = request_for(model, sites, "qwen2")
    g, start = gradients(model, request), starts_of(request)
    norm = np.sqrt(sum(float(x @ x) for x in g.values()))
    assert 1.0 < norm < 1e3
    assert len(g) > 2
    trained = model.train(attrs.evolve(request, optimizer=Sgd(momentum=0.0, clip=limit)))
    for group, value in trained.values.items():
        expected = start[group] - g[group] * min(1.0, limit / norm)
        assert_close(value, expected, atol=1e-13 * norm, what=group)


@pytest.mark.parametrize("backend", WAYS.values(), ids=WAYS)
def test_answers_at_round_start_need_no_old_or_start_log_probabilities(backend, tmp_path):
    """There the ratio is 1 and the divergence has no slope, so that what a basis hears is the gradient with both of them."""
    model, sites = opened("qwen2", tmp_path, backend)
    examples, tokens = texts("qwen2"), answered(texts("qwen2"))
    log_p = log_p_of(model, rows_of(examples, tokens), 0.7)
    bare = batch_of(tokens, log_p, temperature=0.7, normalise="sequence")
    whole = attrs.evolve(bare, rollouts=attrs.evolve(bare.rollouts, old=log_p, start=log_p, beta=0.4))
    site = sites[0].name
    expected = model.gradient(site, examples, whole)
    stripped = _on_policy(whole)
    assert stripped.rollouts is not None
    assert (stripped.rollouts.old, stripped.rollouts.start, stripped.rollouts.beta) == (None, None, 0.0)
    found = model.gradient(site, examples, stripped)
    assert_close(found, expected, atol=1e-12 * np.abs(expected).max(), what=site)
    assert np.abs(expected).max() > 1e-3


@pytest.mark.parametrize("backend", WAYS.values(), ids=WAYS)
def test_products_do_not_depend_on_whether_equal_answers_are_computed_once(backend, tmp_path):
    """An answer that is given three times counts three times, in a mean over batches and among the rows."""
    model, sites = opened("qwen2", tmp_path, backend)
    examples = texts("qwen2")
    log_p = -np.ones(int(answered(examples).targets.sum()))
    many = batch_of(answered(examples), log_p, normalise="sequence").take(np.array([0, 1, 1, 2, 1, 4, 4]))
    other = batch_of(answered(examples, 1), log_p, normalise="sequence").take(np.array([3, 2]))
    once = joined(many)
    assert (len(many), len(once), once.counts.tolist()) == (7, 4, [1, 3, 1, 2])
    right = {s.name: np.random.default_rng(i).standard_normal((s.shape[1], 2)) for i, s in enumerate(sites)}
    found = model.gradient_products(examples, [once, other], right=right, left={})
    heard = model.activation_products(examples, [once, other], right)
    apart = model.activation_products(examples, [many, other], right)
    for site, columns in right.items():
        one, two = (model.gradient(site, examples, batch) for batch in (many, other))
        expected = (7 * one + 2 * two) / 9 @ columns
        # Float64, sums in another order.
        assert_close(found[site].right, expected, atol=1e-12 * np.abs(expected).max(), what=site)
        assert_close(heard[site], apart[site], atol=1e-12 * np.abs(apart[site]).max(), what=f"{site}: inputs")
