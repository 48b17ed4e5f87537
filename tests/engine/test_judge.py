"""Verdicts, rewards and pass@k, an example at a time."""

from itertools import combinations

import numpy as np
import pytest

from boostlora.engine.contracts import Examples, Predictions
from boostlora.engine.sdk.judge import Judgement, judge_answers, judge_loss, judge_tokens, pass_at_k
from boostlora.engine.testing import assert_close


def examples(n):
    return Examples(ids=np.arange(n) + 5, inputs=np.zeros((n, 1)), labels=np.zeros(n, dtype=np.int64))


def test_token_criterion_requires_all_tokens_and_rewards_their_share():
    said = Predictions(
        output=np.array([3, 2, 0, 1]), loss=np.array([0.1, 0.2, 3.0, 0.5]), targets=np.array([3, 5, 4, 1])
    )
    found = judge_tokens(examples(4), said)
    assert found.correct.tolist() == [True, False, False, True]
    assert found.reward.tolist() == [1.0, 0.4, 0.0, 1.0]
    assert (found.prediction.tolist(), found.ids.tolist()) == ([3, 2, 0, 1], [5, 6, 7, 8])


def test_loss_criterion_uses_a_threshold_and_rewards_the_mean_probability():
    """Of tokens with probabilities 1/2 and 1/8 the geometric mean is 1/4."""
    loss = np.array([-np.log([0.5, 0.125]).mean(), 0.5, np.nextafter(0.5, 0.0)])
    found = judge_loss(examples(3), Predictions(output=np.zeros(3, dtype=np.int64), loss=loss), 0.5)
    assert found.correct.tolist() == [False, False, True]
    assert_close(found.reward, [0.25, np.exp(-0.5), np.exp(-0.5)], atol=1e-15, what="rewards")


@pytest.mark.parametrize("required", [1, 2, 3, 9])
def test_written_criterion_needs_the_required_correct_samples(required):
    verdicts = [[True, False, False], [False, False, False], [True, True, True], [False, True, True]]
    judged = [Judgement(right) for row in verdicts for right in row]
    said = Predictions(output=np.zeros(4, dtype=np.int64), loss=np.zeros(4), texts=("x",) * 12)
    found = judge_answers(examples(4), said, judged, required)
    assert found.correct.tolist() == [sum(row) >= min(required, 3) for row in verdicts]
    assert_close(found.reward, [sum(row) / 3 for row in verdicts], atol=1e-15, what="rewards")


@pytest.mark.parametrize("samples", [1, 2, 5])
def test_pass_at_k_is_the_share_of_draws_with_a_correct_sample(samples):
    """All ways to draw k of the n samples, one by one."""
    right = np.arange(samples + 1)
    for k in range(1, samples + 1):
        shares = [np.mean([min(draw) < c for draw in combinations(range(samples), k)]) for c in right]
        assert_close(pass_at_k(right, samples, k), np.mean(shares), atol=1e-15, what=f"pass@{k}")


@pytest.mark.parametrize("k", [0, 4])
def test_pass_at_k_above_the_number_of_samples_is_refused(k):
    with pytest.raises(ValueError, match=f"pass@{k} needs at least"):
        pass_at_k(np.array([1]), 3, k)
