"""Objective `grpo`: advantages, shares, omitted answers; and its suite, which catches objectives that break the contract."""

import attrs
import numpy as np
import pytest

from boostlora.engine.contracts import Answers, Batch, Sampling, Tokens
from boostlora.engine.errors import PluginError
from boostlora.engine.registry import Registry
from boostlora.engine.testing import PolicyObjectiveContract, assert_close
from boostlora.plugins.objectives.grpo import Grpo, joined


class TestGrpo(PolicyObjectiveContract):
    def make(self):
        return Grpo(group_size=4)


class TestGrpoWithEverything(PolicyObjectiveContract):
    def make(self):
        return Grpo(group_size=3, iterations=3, kl=0.1, temperature=0.7, top_p=0.9, mask_unended=True)


class TestDrGrpo(PolicyObjectiveContract):
    def make(self):
        return Grpo(group_size=2, scale_rewards="none", normalise="length", eps=0.0)


class TestDapo(PolicyObjectiveContract):
    def make(self):
        return Grpo(group_size=5, scale_rewards="batch", normalise="token", clip_high=0.28, eps=0.0)


LENGTHS = ((1, 2, 3), (2, 2, 2), (4, 1, 1))
REWARDS = np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.5, 1.0, 0.0]])
"""The second group is silent."""
HEARD = [0, 1, 2, 6, 7, 8]


def answers(rewards=REWARDS, ended=None, longest=5, *, remembered=False):
    prompts = ([7], [8, 8], [9])
    rows = [[*p, *range(10 * g, 10 * g + n)] for g, p in enumerate(prompts) for n in LENGTHS[g]]
    tokens = Tokens.join(rows, [len(p) for p in prompts for _ in range(3)])
    count = float(tokens.targets.sum())
    return Answers(
        indices=np.array([4, 2, 9]),
        tokens=tokens,
        rewards=np.asarray(rewards, dtype=np.float64),
        ended=np.ones((3, 3), dtype=np.bool_) if ended is None else np.array(ended),
        longest=longest,
        old=-np.arange(count) if remembered else None,
        start=-np.arange(count) / 2 if remembered else None,
    )


def test_advantages_are_standard_scores_within_the_group():
    found = Grpo(eps=0.01).advantages(REWARDS)
    third, half = np.sqrt(1 / 3), 0.5  # standard deviations of n - 1
    assert_close(found[0], np.array([2, -1, -1]) / 3 / (third + 0.01), atol=1e-15, what="one of three right")
    assert_close(found[1], np.zeros(3), atol=0.0, what="all right")
    assert_close(found[2], np.array([0.0, 0.5, -0.5]) / (half + 0.01), atol=1e-15, what="a reward between")


def test_advantages_by_batch_and_unscaled_are_centred_within_the_group():
    centred = REWARDS - np.array([[1 / 3], [1.0], [0.5]])
    assert_close(Grpo(scale_rewards="none").advantages(REWARDS), centred, atol=1e-15, what="unscaled")
    scaled = centred / (np.std(REWARDS, ddof=1) + 1e-4)
    assert_close(Grpo(scale_rewards="batch").advantages(REWARDS), scaled, atol=1e-15, what="by batch")


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_advantages_of_zero_variance_groups_are_zero_without_eps_too(scale):
    found = Grpo(scale_rewards=scale, eps=0.0).advantages(REWARDS)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[1], np.zeros(3))


@pytest.mark.parametrize(
    ("normalise", "expected"),
    [
        ("sequence", [1 / n / 6 for n in (1, 2, 3, 4, 1, 1)]),
        ("token", [1 / 12] * 6),
        ("length", [1 / (6 * 5)] * 6),
    ],
)
def test_shares_count_the_answers_in_the_loss(normalise, expected):
    batch = Grpo(group_size=3, normalise=normalise).batch(answers())
    lengths = [1, 2, 3, 4, 1, 1]
    np.testing.assert_array_equal(batch.rollouts.tokens.targets, lengths)
    assert_close(batch.rollouts.shares, np.repeat(expected, lengths), atol=1e-16, what="shares")
    total = {"length": 12 / 30}.get(normalise, 1.0)
    assert float(batch.rollouts.shares.sum()) == pytest.approx(total, abs=1e-15)


def test_zero_variance_groups_are_dropped_and_the_order_kept():
    given = answers(remembered=True)
    batch = Grpo(group_size=3, iterations=2, kl=0.1, clip_high=0.3, temperature=0.8).batch(given)
    np.testing.assert_array_equal(batch.indices, [4, 4, 4, 9, 9, 9])
    np.testing.assert_array_equal(batch.weights, Grpo().advantages(REWARDS).ravel()[HEARD])
    sequences = list(given.tokens)
    for found, place in zip(batch.rollouts.tokens, HEARD, strict=True):
        np.testing.assert_array_equal(found, sequences[place])
    tokens = [*range(6), *range(12, 18)]  # the silent group's six are in between
    np.testing.assert_array_equal(batch.rollouts.old, given.old[tokens])
    np.testing.assert_array_equal(batch.rollouts.start, given.start[tokens])
    r = batch.rollouts
    assert (r.clip, r.beta, r.temperature) == ((0.2, 0.3), 0.1, 0.8)


def test_batch_of_only_zero_variance_groups_is_empty():
    assert len(Grpo(group_size=3).batch(answers(np.ones((3, 3))))) == 0


def test_unfinished_answers_are_omitted_from_the_loss_but_not_the_mean():
    ended = [[True, False, True], [True] * 3, [False, True, True]]
    batch = Grpo(group_size=3, mask_unended=True).batch(answers(ended=ended))
    np.testing.assert_array_equal(batch.weights, Grpo().advantages(REWARDS).ravel()[[0, 2, 7, 8]])
    np.testing.assert_array_equal(batch.rollouts.tokens.targets, [1, 3, 1, 1])
    assert_close(batch.rollouts.shares[:1], [1 / 4], atol=1e-16, what="one of four answers, of one token")
    with_all = Grpo(group_size=3).batch(answers(ended=ended))
    assert len(with_all) == 6


def test_batch_of_only_unfinished_answers_is_empty():
    assert len(Grpo(group_size=3, mask_unended=True).batch(answers(ended=np.zeros((3, 3), bool)))) == 0


def test_equal_answers_are_deduplicated_without_changing_the_loss():
    rows = [[7, 1, 2], [7, 3], [7, 1, 2], [7, 1, 2], [8, 3], [8, 3], [8, 5, 6], [8, 3]]
    given = Answers(
        indices=np.array([4, 2]),
        tokens=Tokens.join(rows, [1] * 8),
        rewards=np.array([[1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 1.0, 0.0]]),
        ended=np.ones((2, 4), dtype=np.bool_),
        longest=5,
    )
    objective = Grpo(group_size=4)
    batch = objective.batch(given)
    # The same answer with another reward, where a verdict is not the text's alone, stays another.
    found = [s.tolist() for s in batch.rollouts.tokens]
    assert found == [[7, 1, 2], [7, 3], [7, 1, 2], [8, 3], [8, 5, 6]]
    A, eighth, sixteenth = objective.advantages(given.rewards), 1 / 8, 1 / 16
    np.testing.assert_array_equal(batch.indices, [4, 4, 4, 2, 2])
    np.testing.assert_array_equal(batch.weights, [A[0, 0], A[0, 1], A[0, 3], A[1, 0], A[1, 2]])
    shares = [2 * sixteenth] * 2 + [eighth] + [sixteenth] * 2 + [3 * eighth] + [sixteenth] * 2
    assert_close(batch.rollouts.shares, shares, atol=1e-16, what="shares")
    assert batch.counts.tolist() == [2, 1, 1, 3, 1]
    assert batch.take(np.array([3, 0])).counts.tolist() == [3, 2]
    assert joined(batch).counts.tolist() == [2, 1, 1, 3, 1]


def test_objective_asks_for_what_its_options_need():
    assert Grpo().remembers == (False, False)
    assert Grpo(iterations=2).remembers == (True, False)
    assert Grpo(kl=0.1).remembers == (False, True)
    assert Grpo(temperature=0.6, top_p=0.95).sampling == Sampling(temperature=0.6, top_p=0.95)


def test_plugin_is_registered_under_its_name():
    assert Registry.load().entries("objective")["grpo"].cls is Grpo


# -- A suite that cannot fail proves nothing: objectives that break the contract, each in one way, are caught.


@attrs.frozen(kw_only=True)
class UpsideDown(Grpo):
    def advantages(self, rewards):
        return -super().advantages(rewards)


@attrs.frozen(kw_only=True)
class Talkative(Grpo):
    """Makes differences where there are none."""

    def batch(self, answers):
        luck = np.arange(answers.rewards.shape[1])
        return super().batch(attrs.evolve(answers, rewards=answers.rewards + 1e-9 * luck))


@attrs.frozen(kw_only=True)
class OtherPrompts(Grpo):
    def batch(self, answers):
        batch = super().batch(answers)
        return attrs.evolve(batch, indices=batch.indices + 1)


@attrs.frozen(kw_only=True)
class Misplaced(Grpo):
    """Old log-probabilities are those of the first answers, whichever are kept."""

    def batch(self, answers):
        batch = super().batch(answers)
        if not len(batch):
            return batch
        count = len(batch.rollouts.old)
        return attrs.evolve(batch, rollouts=attrs.evolve(batch.rollouts, old=answers.old[::-1][:count]))


@attrs.frozen(kw_only=True)
class Shareless(Grpo):
    def shares(self, tokens, longest):
        return super().shares(tokens, longest)[:-1]


@attrs.frozen(kw_only=True)
class NotFinite(Grpo):
    def shares(self, tokens, longest):
        return np.full_like(super().shares(tokens, longest), np.nan)


@attrs.frozen(kw_only=True)
class Hot(Grpo):
    def batch(self, answers):
        batch = super().batch(answers)
        if not len(batch):
            return batch
        return attrs.evolve(batch, rollouts=attrs.evolve(batch.rollouts, temperature=1.7))


@attrs.frozen(kw_only=True)
class Unselected(Grpo):
    def prompts(self, selection, count, batch_size, rng):
        return [rng.integers(0, 100, batch_size) for _ in range(count)]


@attrs.frozen(kw_only=True)
class TooFew(Grpo):
    def prompts(self, selection, count, batch_size, rng):
        return super().prompts(selection, count, batch_size, rng)[:-1]


@attrs.frozen(kw_only=True)
class Forgetful(Grpo):
    @property
    def remembers(self):
        return False, self.kl > 0.0


@attrs.frozen(kw_only=True)
class Empty(Grpo):
    def batch(self, answers):
        batch = super().batch(answers)
        return Batch(indices=batch.indices, weights=batch.weights)


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (UpsideDown, "better_answers_to_a_prompt_never_weigh_less"),
        (Talkative, "answers_with_equal_rewards_give_an_empty_batch"),
        (OtherPrompts, "batch_of_any_answers_holds_answers_with_finite_weights_and_shares"),
        (Misplaced, "batch_keeps_what_was_remembered_with_its_tokens"),
        (Shareless, "batch_of_any_answers_holds_answers_with_finite_weights_and_shares"),
        (NotFinite, "batch_of_any_answers_holds_answers_with_finite_weights_and_shares"),
        (Hot, "batch_of_any_answers_holds_answers_with_finite_weights_and_shares"),
        (Empty, "batch_of_any_answers_holds_answers_with_finite_weights_and_shares"),
        (Unselected, "prompts_of_any_selection_are_as_many_as_asked_and_the_same_again"),
        (TooFew, "prompts_of_any_selection_are_as_many_as_asked_and_the_same_again"),
        (Forgetful, "objective_declares_valid_sampling_options"),
    ],
)
def test_suite_catches_an_objective_that_breaks_the_contract(broken, test):
    class Suite(PolicyObjectiveContract):
        def make(self):
            return broken(group_size=3, iterations=2)

    with pytest.raises((AssertionError, PluginError)):
        getattr(Suite(), f"test_{test}")()


def test_suite_passes_a_correct_objective():
    class Suite(PolicyObjectiveContract):
        def make(self):
            return Grpo(group_size=3, iterations=2)

    for name in dir(Suite):
        if name.startswith("test_"):
            getattr(Suite(), name)()
