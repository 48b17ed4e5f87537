"""The loss of rollouts as a function of log-probabilities and of logits, on both backends, for any tensors."""

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.backends.reference.losses import surrogate_loss
from boostlora.backends.torch.losses import negative_log_likelihood, surrogate
from boostlora.engine.contracts import Batch, Rollouts, Tokens
from boostlora.engine.testing import assert_close
from boostlora.engine.testing.strategies import seeds

from ..support.hf_modules import torch
from .policy_cases import log_softmax, loss_by_definition


@attrs.frozen
class Case:
    """Logits for every token of a batch of rollouts, and the batch."""

    logits: np.ndarray
    targets: np.ndarray
    batch: Batch

    @property
    def log_p(self):
        z = log_softmax(self.logits / self.batch.rollouts.temperature)
        return z[np.arange(len(z)), self.targets]

    @property
    def advantages(self):
        return np.repeat(self.batch.weights, self.batch.rollouts.tokens.targets)


@st.composite
def cases(draw, *, old=None):
    """1 to 4 answers of 1 to 5 tokens, of any sign; ratios from 0.2 to 5, far beyond the clip and within it."""
    rng = np.random.default_rng(draw(seeds))
    lengths, classes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)), draw(st.integers(2, 9))
    count = sum(lengths)
    targets = rng.integers(0, classes, count)
    rows = iter(targets.tolist())
    tokens = Tokens.join([[0, *(next(rows) for _ in range(n))] for n in lengths], [1] * len(lengths))
    T = draw(st.sampled_from([0.5, 1.0, 1.7]))
    case = Case(
        logits=3.0 * rng.standard_normal((count, classes)),
        targets=targets,
        batch=Batch(
            indices=np.arange(len(lengths)),
            weights=rng.standard_normal(len(lengths)),
            rollouts=Rollouts(tokens=tokens, shares=rng.uniform(0.0, 1.0, count), temperature=T),
        ),
    )
    known = draw(st.booleans()) if old is None else old
    low, high = draw(st.sampled_from([(0.2, 0.2), (0.2, 0.28), (0.0, 0.0), (1.0, 9.0)]))
    rollouts = attrs.evolve(
        case.batch.rollouts,
        old=case.log_p - rng.uniform(-1.6, 1.6, count) if known else None,
        start=case.log_p + rng.uniform(-1.0, 1.0, count),
        clip=(low, high),
        beta=draw(st.sampled_from([0.0, 0.04, 1.0])),
    )
    return attrs.evolve(case, batch=attrs.evolve(case.batch, rollouts=rollouts))


def by_torch(case, dtype=torch.float64):
    """Loss and gradient of the logits by autograd."""
    logits = torch.tensor(case.logits, dtype=dtype, requires_grad=True)
    nll = negative_log_likelihood(logits, case.targets, dtype, case.batch.rollouts.temperature)
    loss = surrogate(-nll, case.batch.weights, case.batch.rollouts)
    loss.backward()
    return loss.item(), logits.grad.double().numpy()


def by_numpy(case):
    return surrogate_loss(case.logits, case.targets, case.advantages, case.batch.rollouts)


@given(cases())
def test_loss_is_the_definition_on_both_backends(case):
    old = case.log_p if case.batch.rollouts.old is None else None
    expected = loss_by_definition(case.log_p, case.batch, old)
    for found, _ in (by_torch(case), by_numpy(case)):
        # At most 20 terms of size 10 (a ratio of 5, an advantage of 2) in float64.
        assert_close(found, expected, atol=1e-13, what="loss")


@given(cases())
def test_analytic_gradient_equals_that_of_autograd(case):
    assert_close(by_numpy(case)[1], by_torch(case)[1], atol=1e-13, what="gradient of the logits")


@given(cases(old=True), seeds)
def test_gradient_is_the_slope_of_the_definition(case, seed):
    r = case.batch.rollouts
    ratio = np.exp(case.log_p - r.old)
    h = 1e-6
    near = [np.abs(ratio - edge).min() < 20 * h for edge in (1.0 - r.clip[0], 1.0 + r.clip[1])]
    if any(near):
        return  # a kink within the step has no slope
    direction = np.random.default_rng(seed).standard_normal(case.logits.shape)

    def loss(step):
        moved = attrs.evolve(case, logits=case.logits + step * direction)
        return loss_by_definition(moved.log_p, moved.batch)

    slope = (loss(h) - loss(-h)) / (2 * h)
    # Rounding 1e-15 / h, curvature h^2: 1e-9 of losses of size 10.
    assert_close(float(np.sum(by_numpy(case)[1] * direction)), slope, atol=1e-7, what="slope")


@given(cases(old=True))
def test_only_clipped_tokens_have_zero_gradient(case):
    r = case.batch.rollouts
    plain = attrs.evolve(case, batch=attrs.evolve(case.batch, rollouts=attrs.evolve(r, beta=0.0)))
    ratio, A = np.exp(case.log_p - r.old), case.advantages
    bound = ((A > 0) & (ratio > 1.0 + r.clip[1])) | ((A < 0) & (ratio < 1.0 - r.clip[0]))
    for _, gradient in (by_torch(plain), by_numpy(plain)):
        np.testing.assert_array_equal(gradient[bound], 0.0)
        assert (np.abs(gradient[~bound]).max(axis=1, initial=0.0) > 0.0).all()


@given(cases(old=False))
def test_first_step_on_fresh_answers_follows_the_plain_policy_gradient(case):
    """Without old log-probabilities the ratio is 1, and its gradient is that of `-A log p`, whatever the clip."""
    r = attrs.evolve(case.batch.rollouts, beta=0.0)
    plain = attrs.evolve(case, batch=attrs.evolve(case.batch, rollouts=r))
    p = np.exp(log_softmax(case.logits / r.temperature))
    p[np.arange(len(p)), case.targets] -= 1.0
    expected = p * (r.shares * case.advantages / r.temperature)[:, None]
    for loss, gradient in (by_torch(plain), by_numpy(plain)):
        assert_close(loss, -float(np.sum(r.shares * case.advantages)), atol=1e-14, what="loss")
        assert_close(gradient, expected, atol=1e-14, what="gradient")


@given(cases())
def test_divergence_is_nonnegative_and_zero_at_the_start(case):
    r = attrs.evolve(case.batch.rollouts, beta=1.0, old=None)
    none = attrs.evolve(case.batch, weights=np.zeros(len(case.batch)), rollouts=r)
    away = attrs.evolve(case, batch=none)
    there = attrs.evolve(case, batch=attrs.evolve(none, rollouts=attrs.evolve(r, start=case.log_p)))
    for rule in (by_torch, by_numpy):
        assert rule(away)[0] >= 0.0
        loss, gradient = rule(there)
        assert_close(loss, 0.0, atol=1e-14, what="divergence from itself")
        assert_close(gradient, np.zeros_like(gradient), atol=1e-14, what="its gradient")


@given(cases(), st.integers(1, 3))
def test_parts_of_a_batch_add_up_to_the_whole(case, size):
    whole, parts = by_torch(case)[0], 0.0
    ends = [0, *np.cumsum(case.batch.rollouts.tokens.targets).tolist()]
    for first in range(0, len(case.batch), size):
        chosen = np.arange(first, min(first + size, len(case.batch)))
        rows = slice(ends[chosen[0]], ends[chosen[-1] + 1])
        part = Case(case.logits[rows], case.targets[rows], case.batch.take(chosen))
        parts += by_torch(part)[0]
    assert_close(parts, whole, atol=1e-13, what="sum of the parts")


@pytest.mark.parametrize("order", [[2, 0, 1], [1], [0, 0, 2]])
def test_selected_sequences_keep_their_tokens_arrays(order):
    tokens = Tokens.join([[5, 1], [6, 6, 2, 3, 4], [7, 5, 6]], [1, 2, 1])
    owners = np.array([0, 1, 1, 1, 2, 2], dtype=np.float64)
    rollouts = Rollouts(
        tokens=tokens, shares=owners, old=-owners, start=10 * owners, beta=0.5, clip=(0.1, 0.3)
    )
    part = rollouts.take(np.array(order))
    expected = np.concatenate([owners[owners == i] for i in order])
    np.testing.assert_array_equal(part.shares, expected)
    np.testing.assert_array_equal(part.old, -expected)
    np.testing.assert_array_equal(part.start, 10 * expected)
    np.testing.assert_array_equal(part.tokens.targets, [{0: 1, 1: 3, 2: 2}[i] for i in order])
    assert (part.beta, part.clip) == (0.5, (0.1, 0.3))


def test_float32_loss_agrees_with_float64_up_to_rounding():
    rng = np.random.default_rng(0)
    tokens = Tokens.join([[0, *rng.integers(0, 50, 20).tolist()] for _ in range(8)], [1] * 8)
    targets = np.concatenate([tokens.completion(i) for i in range(8)]).astype(np.int64)
    rollouts = Rollouts(tokens=tokens, shares=np.full(160, 1 / 160), temperature=0.9, beta=0.1)
    batch = Batch(indices=np.arange(8), weights=rng.standard_normal(8), rollouts=rollouts)
    case = Case(3.0 * rng.standard_normal((160, 50)), targets, batch)
    remembered = attrs.evolve(rollouts, old=case.log_p - 0.1, start=case.log_p + 0.2)
    case = attrs.evolve(case, batch=attrs.evolve(batch, rollouts=remembered))
    expected, slope = by_torch(case)
    loss, gradient = by_torch(case, torch.float32)
    # Log-probabilities of size 10 are known to 1e-6, and so are ratios.
    assert_close(loss, expected, atol=2e-6, what="loss")
    assert_close(gradient, slope, atol=2e-6 / 160 * 10, what="gradient")
