"""The policy gradient against what it is the gradient of: the expected reward, summed over all answers that there are.

Answers have one token, so that all of them can be written down. With K samples and the group's mean as the baseline, which holds the
sample's own reward, the expected step is `(K - 1) / K` of the gradient (Williams, 1992; Liu et al., 2025, appendix A).
"""

from functools import cache

import attrs
import numpy as np
import pytest

from boostlora.engine.contracts import Answers, Batch, Rollouts, Tokens
from boostlora.engine.testing import assert_close
from boostlora.plugins.objectives.grpo import Grpo

from ..support.hf_modules import VOCABULARY
from .policy_cases import BACKENDS, log_p_of, prompts_of, rows_of, starts_of, updates_at
from .training_transformers import gradients, opened, request_for

K, PROMPT = 2, np.array([2])
REWARDS = (np.arange(VOCABULARY) * 7 % 11 < 4) + 0.25 * (np.arange(VOCABULARY) % 3)
OBJECTIVE = Grpo(group_size=K, scale_rewards="none", normalise="length")


@cache
def pulls():
    """`(a, b)` to what the objective makes of the group of answers a and b: for each, its share times its advantage."""
    found = {}
    for a in range(VOCABULARY):
        for b in range(a):
            answers = Answers(
                indices=PROMPT,
                tokens=Tokens.join([[0, a], [0, b]], [1, 1]),
                rewards=REWARDS[[[a, b]]],
                ended=np.ones((1, K), dtype=np.bool_),
                longest=1,
            )
            batch = OBJECTIVE.batch(answers)
            if len(batch):
                found[a, b] = batch.rollouts.shares * batch.weights
    return found


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
def test_expected_step_is_along_the_gradient_of_the_expected_reward(backend, tmp_path):
    model, sites = opened("qwen2", tmp_path, backend)
    request = request_for(model, sites, "qwen2")
    (prompt,) = prompts_of(request.examples, PROMPT)
    tokens = Tokens.join([[*prompt, a] for a in range(VOCABULARY)], [len(prompt)] * VOCABULARY)
    indices = np.repeat(PROMPT, VOCABULARY)
    rows = rows_of(request.examples, tokens, indices)

    def probabilities(values):
        model.assemble([(updates_at(request, values), 1.0)])
        found = np.exp(log_p_of(model, rows, 1.0))
        model.assemble([])
        return found

    start, coefficients = starts_of(request), np.zeros(VOCABULARY)
    p = probabilities(start)
    assert_close(p.sum(), 1.0, atol=1e-12, what="all answers")
    for (a, b), pull in pulls().items():
        coefficients[[a, b]] += 2 * p[a] * p[b] * pull  # in either order
    rollouts = Rollouts(tokens=tokens, shares=np.ones(VOCABULARY))
    batch = Batch(indices=indices, weights=coefficients, rollouts=rollouts)
    found = gradients(model, attrs.evolve(request, batches=[batch]))
    for group in list(start)[:1]:
        numeric = np.empty(3)
        for i in range(3):
            up, down = (
                probabilities({**start, group: start[group] + s * 1e-5 * np.eye(3)[i]}) for s in (1, -1)
            )
            numeric[i] = (up - down) @ REWARDS / 2e-5
        # The loss is minus the reward. Central differences: rounding eps / h is 1e-11, curvature h^2 is as small.
        assert_close(found[group], -(K - 1) / K * numeric, atol=1e-9, rtol=1e-6, what=group)
        assert np.abs(numeric).max() > 1e-3
