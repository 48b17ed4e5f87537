"""Objective `grpo` against its papers, answer by answer: groups of which some say nothing, answers that are equal, cut off, or both.

The loss of a batch is held to a sum over all answers that never heard of batches, shares or joining: Shao et al. (2024, Eq. 3 and 4),
DAPO (Yu et al., 2025, Eq. 8) and Dr. GRPO (Liu et al., 2025, Eq. 2), over the answers that are heard.
"""

import numpy as np
import pytest

from boostlora.engine.contracts import Answers, Tokens
from boostlora.engine.testing import assert_close
from boostlora.plugins.objectives.grpo import Grpo

K, LONGEST, EPS = 4, 6, 1e-4


def log_p_of(tokens, salt):
    """A log-probability for every answered token, by what stands before it: equal answers have equal ones."""
    found = []
    for i in range(len(tokens)):
        sequence, start = tokens.sequence(i).tolist(), int(tokens.starts[i])
        for t in range(start, len(sequence)):
            rng = np.random.default_rng([salt, *sequence[: t + 1]])
            found.append(-rng.uniform(0.5, 1.5))
    return np.array(found)


def answers_of(rng, groups=5):
    """Short answers over two tokens, so that many are equal, of which some were cut off; the second group is silent."""
    prompts = [rng.integers(4, 9, rng.integers(1, 4)).tolist() for _ in range(groups)]
    rows = [[*p, *rng.integers(1, 3, rng.integers(1, 4)).tolist()] for p in prompts for _ in range(K)]
    tokens = Tokens.join(rows, [len(p) for p in prompts for _ in range(K)])
    rewards = rng.integers(0, 3, (groups, K)) / 2
    rewards[1] = 0.5
    return Answers(
        indices=rng.permutation(20)[:groups],
        tokens=tokens,
        rewards=rewards,
        ended=rng.uniform(size=(groups, K)) < 0.7,
        longest=LONGEST,
        old=log_p_of(tokens, 1),
        start=log_p_of(tokens, 2),
    )


def spread_of(rewards, group, scale):
    """What advantages are divided by."""
    if scale == "none":
        return 1.0
    told = rewards[group] if scale == "group" else rewards.ravel()
    return float(np.sqrt(np.sum((told - told.mean()) ** 2) / (len(told) - 1))) + EPS


def loss_by_the_papers(objective, answers):
    """A token at a time, with the current policy's log-probabilities of salt 3."""
    now, ends = log_p_of(answers.tokens, 3), np.cumsum(answers.tokens.targets)
    found, sizes = [], []
    for i in range(answers.rewards.size):
        group, rewards = i // K, answers.rewards[i // K]
        if np.all(rewards == rewards[0]) or (objective.mask_unended and not answers.ended.ravel()[i]):
            continue
        A = (answers.rewards.ravel()[i] - rewards.mean()) / spread_of(
            answers.rewards, group, objective.scale_rewards
        )
        total = 0.0
        for t in range(ends[i] - answers.tokens.targets[i], ends[i]):
            ratio = np.exp(now[t] - answers.old[t])
            total -= min(ratio * A, min(max(ratio, 1 - objective.clip_low), 1 + objective.clip_high) * A)
            q = np.exp(answers.start[t] - now[t])
            total += objective.kl * (q - np.log(q) - 1)
        found.append(total)
        sizes.append(int(answers.tokens.targets[i]))
    match objective.normalise:
        case "sequence":
            return sum(total / size for total, size in zip(found, sizes, strict=True)) / len(found)
        case "token":
            return sum(found) / sum(sizes)
        case _:
            return sum(found) / (len(found) * LONGEST)


def loss_of_batch(batch):
    """`Rollouts`' formula, from what the objective made."""
    r = batch.rollouts
    now, A = log_p_of(r.tokens, 3), np.repeat(batch.weights, r.tokens.targets)
    ratio, q = np.exp(now - r.old), np.exp(r.start - now)
    clipped = np.clip(ratio, 1 - r.clip[0], 1 + r.clip[1])
    return float(np.sum(r.shares * (r.beta * (q - np.log(q) - 1) - np.minimum(ratio * A, clipped * A))))


@pytest.mark.parametrize("mask_unended", [False, True], ids=["all", "ended"])
@pytest.mark.parametrize("normalise", ["sequence", "token", "length"])
@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_loss_of_a_batch_is_the_papers_sum_over_its_answers(scale, normalise, mask_unended):
    objective = Grpo(
        group_size=K,
        iterations=2,
        scale_rewards=scale,
        normalise=normalise,
        mask_unended=mask_unended,
        kl=0.2,
        clip_low=0.1,
        clip_high=0.3,
        eps=EPS,
    )
    shorter = 0
    for seed in range(20):
        answers = answers_of(np.random.default_rng(seed))
        batch, heard = objective.batch(answers), np.ptp(answers.rewards, axis=1) > 0
        counted = int((np.repeat(heard, K) & (answers.ended.ravel() | (not mask_unended))).sum())
        shorter += len(batch) < counted
        expected = loss_by_the_papers(objective, answers)
        assert_close(loss_of_batch(batch), expected, atol=1e-13, what=f"answers of seed {seed}")
    assert shorter > 5, "no answers were equal; the test shows less than it should"
