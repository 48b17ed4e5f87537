"""Loss and gradient of rollouts on every backend: against the definition, finite differences, and each other."""

import attrs
import numpy as np
import pytest

from boostlora.engine.contracts import Batch
from boostlora.engine.testing import assert_close
from boostlora.plugins.optimizers.adam import Adam
from boostlora.plugins.optimizers.sgd import Sgd

from ..support.hf_modules import texts
from .policy_cases import (
    ADVANTAGES,
    BACKENDS,
    answered,
    asked,
    batch_of,
    binding,
    log_p_of,
    loss_by_definition,
    rows_of,
    starts_of,
    updates_at,
)
from .training_transformers import gradients, opened, request_for

CASES = {
    "on-policy": {},
    "off-policy": {"old": True},
    "asymmetric": {"old": True, "clip": (0.2, 0.28)},
    "never-clipped": {"old": True, "clip": (1.0, 5.0)},
    "divergence": {"kl": 0.3},
    "cold": {"old": True, "temperature": 0.6},
    "hot-by-sequence": {"old": True, "kl": 0.1, "temperature": 1.5, "normalise": "sequence"},
    "by-length": {"old": True, "kl": 0.1, "clip": (0.1, 0.4), "normalise": "length"},
}
EMPTY = Batch(indices=np.empty(0, dtype=np.int64), weights=np.empty(0))


@attrs.frozen
class Ready:
    """A model, a request at numbers away from zero, and a batch of rollouts made for that place."""

    model: object
    request: object
    batch: Batch
    log_p: np.ndarray


def ready(kind, folder, backend, case):
    model, sites = opened(kind, folder, BACKENDS[backend])
    request, tokens = request_for(model, sites, kind), answered(texts(kind))
    T = case.get("temperature", 1.0)
    rows = rows_of(request.examples, tokens)
    model.assemble([(updates_at(request, starts_of(request)), 1.0)])
    log_p = log_p_of(model, rows, T)
    model.assemble([])
    batch = batch_of(tokens, log_p, **case)
    return Ready(model, attrs.evolve(request, batches=[batch]), batch, log_p)


@pytest.mark.parametrize(
    ("kind", "backend", "case"),
    [
        pytest.param(kind, backend, case, id=f"{kind}-{backend}-{name}")
        for kind, names in (("qwen2", CASES), ("llama", ("by-length",)))
        for backend in BACKENDS
        for name, case in CASES.items()
        if name in names
    ],
)
def test_loss_and_gradient_of_rollouts_equal_the_definition_and_its_finite_differences(
    kind, backend, case, tmp_path
):
    made = ready(kind, tmp_path, backend, case)
    model, request, batch = made.model, made.request, made.batch
    rows = rows_of(request.examples, batch.rollouts.tokens)
    frozen = made.log_p if batch.rollouts.old is None else batch.rollouts.old
    if batch.rollouts.old is not None and batch.rollouts.clip != (1.0, 5.0):
        assert min(binding(made.log_p, batch)) > 0, "clipping must bind on both sides, and not everywhere"

    def loss(values):
        model.assemble([(updates_at(request, values), 1.0)])
        found = loss_by_definition(log_p_of(model, rows, batch.rollouts.temperature), batch, frozen)
        model.assemble([])
        return found

    steps, start = [], starts_of(request)
    model.train(attrs.evolve(request, learning_rates=np.zeros(1), trace=steps.append))
    # Twenty terms of size 1 in float64, through logits that are exact to 1e-12.
    assert_close(steps[0].loss, loss(start), atol=1e-12, what="loss")
    for group, value in start.items():
        numeric = np.empty(3)
        for i in range(3):
            up, down = (loss({**start, group: value + s * 1e-5 * np.eye(3)[i]}) for s in (1, -1))
            numeric[i] = (up - down) / 2e-5
        # Central differences: rounding eps * loss / h is 1e-10, curvature h^2 is as small; no ratio is that near a clip.
        assert_close(steps[0].gradients[group], numeric, atol=1e-8, rtol=1e-6, what=f"{kind}: {group}")
    assert max(np.abs(g).max() for g in steps[0].gradients.values()) > 1e-3, "gradients of nothing"


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_backends_agree_on_rollouts_to_roundings_of_float64(case, tmp_path):
    found = {}
    for name in BACKENDS:
        made = ready("qwen2", tmp_path, name, case)
        found[name] = (made, gradients(made.model, made.request))
    truth, expected = found["reference"]
    largest = max(np.abs(g).max() for g in expected.values())
    for name in ("torch", "torch-in-parts"):
        made, got = found[name]
        assert_close(made.log_p, truth.log_p, atol=1e-12, what="log-probabilities")
        for group, gradient in expected.items():
            assert_close(got[group], gradient, atol=1e-11 * largest, what=f"{name}: {group}")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", ["on-policy", "by-length"])
def test_gradient_of_a_weight_under_rollouts_is_the_slope_along_it(backend, case, tmp_path):
    made = ready("qwen2", tmp_path, backend, CASES[case])
    model, batch, request = made.model, made.batch, made.request
    rows, site = rows_of(request.examples, batch.rollouts.tokens), next(iter(request.frames))
    base = log_p_of(model, rows, batch.rollouts.temperature)
    old = base if batch.rollouts.old is None else batch.rollouts.old
    core = np.array([[0.6, -0.3], [0.2, 0.5]])
    update = attrs.evolve(updates_at(request, starts_of(request))[site], core=core)

    def loss(h):
        model.assemble([({site: update}, h)])
        found = loss_by_definition(log_p_of(model, rows, batch.rollouts.temperature), batch, old)
        model.assemble([])
        return found

    L, M = update.factors()
    slope = float(np.sum(model.gradient(site, request.examples, batch) * (L @ M.T)))
    # As for the cores: central differences in float64.
    assert_close(slope, (loss(1e-5) - loss(-1e-5)) / 2e-5, atol=1e-8, rtol=1e-6, what=site)


def test_negated_advantages_negate_the_gradient(tmp_path):
    """Without clipping and divergence the loss is linear in the advantages: the test of the tests' own signs."""
    made = ready("qwen2", tmp_path, "torch", {})
    turned = attrs.evolve(made.batch, weights=-ADVANTAGES)
    one = gradients(made.model, made.request)
    two = gradients(made.model, attrs.evolve(made.request, batches=[turned]))
    for group, gradient in one.items():
        np.testing.assert_array_equal(two[group], -gradient)


def test_several_steps_on_the_same_answers_agree_between_backends(tmp_path):
    """Old log-probabilities are asked of the policy when its answers are new, and again after three steps on them."""
    runs = {}
    for name, backend in BACKENDS.items():
        model, sites = opened("qwen2", tmp_path, backend)
        request, steps, olds = request_for(model, sites, "qwen2"), [], []
        examples = request.examples

        def batches(policy, olds=olds, examples=examples):
            for seed in (0, 1):
                tokens = answered(examples, seed)
                rows = rows_of(examples, tokens)
                old, start = (policy.log_probabilities(rows, 0.8, start=s) for s in (False, True))
                olds.append(old)
                batch = batch_of(tokens, old, kl=0.05, temperature=0.8)
                rollouts = attrs.evolve(batch.rollouts, old=old, start=start)
                yield from [attrs.evolve(batch, rollouts=rollouts)] * 3

        rates = np.full(6, 0.05)
        plan = {
            "batches": batches,
            "learning_rates": rates,
            "optimizer": Adam(steps=6),
            "trace": steps.append,
        }
        runs[name] = (model.train(attrs.evolve(request, **plan)), steps, olds)
    truth, steps, olds = runs["reference"]
    moved = max(
        np.abs(b - a).max() for a, b in zip(steps[0].values.values(), truth.values.values(), strict=True)
    )
    assert moved > 0.1, "training went nowhere"
    for name in ("torch", "torch-in-parts"):
        training, other, theirs = runs[name]
        # Adam divides gradients by their own size: relative errors of 1e-12 of the smallest, six times.
        assert_close(training.losses, truth.losses, atol=1e-10, what=f"{name}: losses")
        for a, b in zip(theirs, olds, strict=True):
            assert_close(a, b, atol=1e-10, what=f"{name}: old log-probabilities")
        for group, value in truth.values.items():
            assert_close(training.values[group], value, atol=1e-9, what=f"{name}: {group}")
        assert [s.number for s in other] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("optimizer", [Adam(weight_decay=0.1, steps=3), Sgd(momentum=0.9, weight_decay=0.1)])
@pytest.mark.parametrize("backend", BACKENDS)
def test_empty_batch_changes_nothing_and_the_next_step_is_as_without_it(backend, optimizer, tmp_path):
    made = ready("qwen2", tmp_path, backend, {"old": True})
    request, steps = attrs.evolve(made.request, optimizer=optimizer), []

    def trained(batches, rates):
        plan = {"batches": batches, "learning_rates": np.array(rates), "trace": steps.append}
        return made.model.train(attrs.evolve(request, **plan))

    with_it = trained([made.batch, EMPTY, made.batch], [0.02, 0.5, 0.01])
    told = list(steps)
    without = trained([made.batch, made.batch], [0.02, 0.01])
    for group, value in without.values.items():
        np.testing.assert_array_equal(with_it.values[group], value)
        np.testing.assert_array_equal(told[1].values[group], told[0].values[group])
        np.testing.assert_array_equal(told[1].gradients[group], np.zeros(3))
    np.testing.assert_array_equal(with_it.losses, [without.losses[0], 0.0, without.losses[1]])
    assert np.abs(told[2].values[group] - told[0].values[group]).max() > 1e-4, "the next step went nowhere"


@pytest.mark.parametrize("backend", BACKENDS)
def test_round_of_empty_batches_alone_trains_nothing(backend, tmp_path):
    model, sites = opened("qwen2", tmp_path, BACKENDS[backend])
    request = request_for(model, sites, "qwen2")
    training = model.train(attrs.evolve(request, batches=[EMPTY] * 2, learning_rates=np.ones(2)))
    np.testing.assert_array_equal(training.losses, [0.0, 0.0])
    for group, value in starts_of(request).items():
        np.testing.assert_array_equal(training.values[group], value)
    assert asked(model, request, lambda policy: policy.weight(sites[0].name)).shape == sites[0].shape
