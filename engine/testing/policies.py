"""The contract of objectives that learn from rewards."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ..boosting.checks import check_prompts, check_rollouts
from ..contracts import Answers, PolicyObjective, Selection, Tokens
from .batches import selections
from .strategies import contract_settings, seeds

LONGEST = 6


def make_answers(objective: PolicyObjective, rewards: NDArray[np.float64], seed: int) -> Answers:
    """Answers of 1 to `LONGEST` random tokens with the given rewards `(b, K)`, and the log-probabilities that the objective needs."""
    rng, (b, K) = np.random.default_rng(seed), rewards.shape
    prompts = [rng.integers(0, 50, n).tolist() for n in rng.integers(1, 5, b)]
    rows = [[*p, *rng.integers(0, 50, n).tolist()] for p in prompts for n in rng.integers(1, LONGEST + 1, K)]
    tokens = Tokens.join(rows, [len(p) for p in prompts for _ in range(K)])
    old, start = objective.remembers
    count = int(tokens.targets.sum())
    return Answers(
        indices=rng.permutation(100)[:b].astype(np.int64),
        tokens=tokens,
        rewards=rewards,
        ended=rng.random((b, K)) < 0.8,
        longest=LONGEST,
        old=-rng.exponential(2.0, count) if old else None,
        start=-rng.exponential(2.0, count) if start else None,
    )


class PolicyObjectiveContract:
    """Contract tests: inherit, and implement `make`."""

    relative: ClassVar[bool] = True
    """Whether advantages are relative to other answers to the same prompt, so that equal rewards give no batch."""

    def make(self) -> PolicyObjective:
        """An objective, as built from a spec."""
        raise NotImplementedError

    def _answers(self, b: int, seed: int) -> Answers:
        objective, rng = self.make(), np.random.default_rng(seed)
        rewards = rng.choice([0.0, 0.25, 1.0], (b, objective.group_size), p=[0.5, 0.1, 0.4])
        return make_answers(objective, rewards, seed)

    def test_objective_declares_valid_sampling_options(self) -> None:
        objective = self.make()
        assert isinstance(objective, PolicyObjective)
        assert objective.group_size >= 1
        assert objective.iterations >= 1
        assert objective.max_new_tokens >= 0
        assert objective.sampling.temperature > 0.0
        assert 0.0 < objective.sampling.top_p <= 1.0
        old, _ = objective.remembers
        assert old or objective.iterations == 1, (
            "several iterations on the same answers need the old log-probabilities"
        )

    @given(selections(), st.integers(1, 5), st.integers(1, 40), seeds)
    @contract_settings
    def test_prompts_of_any_selection_are_as_many_as_asked_and_the_same_again(
        self, selection: Selection, count: int, batch_size: int, seed: int
    ) -> None:
        one, two = (
            check_prompts(
                self.make().prompts(selection, count, batch_size, np.random.default_rng(seed)),
                count,
                100,
                "it",
            )
            for _ in range(2)
        )
        for a, b in zip(one, two, strict=True):
            assert a.shape == (batch_size,)
            assert set(a.tolist()) <= set(selection.indices.tolist())
            np.testing.assert_array_equal(a, b)

    @given(selections(), seeds)
    @contract_settings
    def test_prompts_come_as_often_as_their_weights_say(self, selection: Selection, seed: int) -> None:
        shares = selection.weights / selection.weights.sum()
        for indices in self.make().prompts(selection, 4, 64, np.random.default_rng(seed)):
            for index, share in zip(selection.indices, shares, strict=True):
                # An interval of length `share * 64` overlaps at most two unit intervals partially.
                assert abs(int(np.sum(indices == index)) - share * 64) < 2.0

    @given(st.integers(1, 4), seeds)
    @contract_settings
    def test_batch_of_any_answers_holds_answers_with_finite_weights_and_shares(
        self, b: int, seed: int
    ) -> None:
        answers = self._answers(b, seed)
        batch = check_rollouts(self.make().batch(answers), "it")
        answer_rows = _rows(answers.indices.repeat(answers.rewards.shape[1]), answers.tokens)
        assert np.isfinite(batch.weights).all()
        if batch.rollouts is None:
            return
        found = _rows(batch.indices, batch.rollouts.tokens)
        assert len(set(found)) == len(found) or len(set(answer_rows)) < len(answer_rows), (
            "the same answer twice"
        )
        assert set(found) <= set(answer_rows), "a sequence that is no answer to its prompt"
        assert (batch.rollouts.shares >= 0.0).all()
        assert batch.rollouts.temperature == self.make().sampling.temperature

    @given(st.integers(1, 4), seeds)
    @contract_settings
    def test_batch_keeps_what_was_remembered_with_its_tokens(self, b: int, seed: int) -> None:
        answers = self._answers(b, seed)
        batch = self.make().batch(answers)
        if batch.rollouts is None:
            return
        slices = _answer_slices(answers)
        for name in ("old", "start"):
            before, after = getattr(answers, name), getattr(batch.rollouts, name)
            if before is None or after is None:
                continue
            blocks = np.split(after, np.cumsum(batch.rollouts.tokens.targets)[:-1])
            for row, block in zip(_rows(batch.indices, batch.rollouts.tokens), blocks, strict=True):
                assert any(np.array_equal(before[tokens], block) for tokens in slices[row]), name

    @given(st.integers(1, 4), seeds)
    @contract_settings
    def test_better_answers_to_a_prompt_never_weigh_less(self, b: int, seed: int) -> None:
        answers = self._answers(b, seed)
        batch = self.make().batch(answers)
        if batch.rollouts is None:
            return
        rewards = dict[tuple[int, ...], set[float]]()
        answer_rows = _rows(answers.indices.repeat(answers.rewards.shape[1]), answers.tokens)
        for row, reward in zip(answer_rows, answers.rewards.ravel().tolist(), strict=True):
            rewards.setdefault(row, set()).add(reward)
        known = [
            (row[0], *rewards[row], weight)
            for row, weight in zip(
                _rows(batch.indices, batch.rollouts.tokens), batch.weights.tolist(), strict=True
            )
            if len(rewards[row]) == 1
        ]
        for prompt, reward, weight in known:
            for other, less, lighter in known:
                assert other != prompt or less >= reward or lighter < weight

    @given(st.integers(1, 4), st.sampled_from([0.0, 0.3, 1.0]), seeds)
    @contract_settings
    def test_answers_with_equal_rewards_give_an_empty_batch(self, b: int, reward: float, seed: int) -> None:
        if self.relative:
            objective = self.make()
            answers = make_answers(objective, np.full((b, objective.group_size), reward), seed)
            assert len(objective.batch(answers)) == 0

    @given(st.integers(1, 4), seeds)
    @contract_settings
    def test_batch_of_the_same_answers_is_the_same_and_leaves_them_alone(self, b: int, seed: int) -> None:
        answers, untouched = self._answers(b, seed), self._answers(b, seed)
        one, two = (self.make().batch(answers) for _ in range(2))
        np.testing.assert_array_equal(answers.rewards, untouched.rewards)
        np.testing.assert_array_equal(answers.tokens.ids, untouched.tokens.ids)
        np.testing.assert_array_equal(one.indices, two.indices)
        np.testing.assert_array_equal(one.weights, two.weights)
        if one.rollouts is not None and two.rollouts is not None:
            np.testing.assert_array_equal(one.rollouts.shares, two.rollouts.shares)


def _rows(indices: NDArray[np.int64], tokens: Tokens) -> list[tuple[int, ...]]:
    """Every sequence, preceded by its prompt's index and its start."""
    heads = zip(indices.tolist(), tokens.starts.tolist(), strict=True)
    return [(*head, *tokens.sequence(i).tolist()) for i, head in enumerate(heads)]


def _answer_slices(answers: Answers) -> dict[tuple[int, ...], list[slice]]:
    """The slices of each answer in the arrays over tokens."""
    ends, found = [0, *np.cumsum(answers.tokens.targets).tolist()], dict[tuple[int, ...], list[slice]]()
    rows = _rows(answers.indices.repeat(answers.rewards.shape[1]), answers.tokens)
    for row, a, b in zip(rows, ends[:-1], ends[1:], strict=True):
        found.setdefault(row, []).append(slice(a, b))
    return found
