"""Group-relative policy optimisation: the advantage of an answer is relative to other answers to the same prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from ...engine.contracts import Answers, Batch, Rollouts, Sampling, Selection, Tokens
from ...engine.foundation.options import Limit, option, positive, whole
from ...engine.hookspecs import hookimpl
from ...engine.sdk.stratified_batches import stratified_draws

nucleus = Limit("more than 0 and at most 1", lambda x: 0 < x <= 1)
several = Limit("a whole number of at least 2", lambda x: x >= 2)


@attrs.frozen(kw_only=True)
class Grpo:
    """GRPO (Shao et al., 2024, arXiv 2402.03300) with the variants of Dr. GRPO (arXiv 2503.20783) and DAPO (arXiv 2503.14476).

    Every prompt of a batch is answered `group_size` times. The advantage of an answer is `A = (R - mean R) / (std R + eps)`, with mean and
    standard deviation (n - 1) over its group. The loss is that of `Rollouts`: the clipped surrogate plus `kl` times the divergence from
    the round's starting model. Zero-variance groups have no advantages: they are dropped and counted in the round's record, and the
    remaining shares are normalised as if they were the whole batch.
    """

    group_size: int = option(8, "answers per prompt; optimizer.batch_size counts prompts", several)
    iterations: int = option(1, "optimiser steps on the same answers", whole)
    temperature: float = option(1.0, "sampling temperature of answers", positive)
    top_p: float = option(1.0, "nucleus sampling: probability mass of the nucleus", nucleus)
    max_new_tokens: int = option(0, "maximum tokens of an answer; 0: the task's limit", min=0)
    scale_rewards: Literal["group", "batch", "none"] = option(
        "group", "divide by the standard deviation of the group, of the batch, or not (Dr. GRPO)"
    )
    normalise: Literal["sequence", "token", "length"] = option(
        "sequence",
        "loss weight of a token: equal per answer, equal per token (DAPO), or 1 / longest (Dr. GRPO)",
    )
    clip_low: float = option(0.2, "lower clip range of the ratio to the old policy", min=0.0, max=1.0)
    clip_high: float = option(0.2, "upper clip range of that ratio", min=0.0)
    kl: float = option(0.0, "weight of the divergence from the round's starting model", min=0.0)
    eps: float = option(1e-4, "added to the standard deviation", min=0.0)
    mask_unended: bool = option(False, "exclude truncated answers from the loss")
    keeps: bool = option(True, "keep the answers in the run's folder, so that verify can replay them")

    @property
    def sampling(self) -> Sampling:
        """Sampling settings of answers."""
        return Sampling(temperature=self.temperature, top_p=self.top_p)

    @property
    def remembers(self) -> tuple[bool, bool]:
        """Whether to store log-probabilities of the old policy (for several iterations), and of the starting model (for the divergence)."""
        return self.iterations > 1, self.kl > 0.0

    def prompts(
        self, selection: Selection, count: int, batch_size: int, rng: np.random.Generator
    ) -> Sequence[NDArray[np.int64]]:
        """Stratified draws of prompts: every batch follows the sampler's weights."""
        return stratified_draws(selection, count, batch_size, rng)

    def batch(self, answers: Answers) -> Batch:
        """Advantages and shares of the answers in groups with nonzero variance; empty if there are none."""
        K = answers.rewards.shape[1]
        # Not `std > 0`: the mean of equal rewards is rounded, and their standard deviation may be a tiny positive number.
        has_variance = np.ptp(answers.rewards, axis=1) > 0.0
        kept = np.repeat(has_variance, K) & (answers.ended.ravel() | (not self.mask_unended))
        chosen = np.flatnonzero(kept)
        # An empty batch, which backends skip; shares per token would divide by zero.
        if len(chosen) == 0:
            return Batch(indices=np.empty(0, dtype=np.int64), weights=np.empty(0))
        # Advantages come from whole groups, before truncated answers are dropped: these still count in a group's mean.
        everything = Batch(
            indices=np.repeat(answers.indices, K),
            weights=self.advantages(answers.rewards).ravel(),
            rollouts=Rollouts(
                tokens=answers.tokens,
                shares=np.zeros(int(answers.tokens.targets.sum())),
                temperature=self.temperature,
                old=answers.old,
                start=answers.start,
                clip=(self.clip_low, self.clip_high),
                beta=self.kl,
            ),
        )
        found = everything.take(chosen)
        if found.rollouts is None:
            raise AssertionError("a part of rollouts is rollouts")
        # After the selection, so that shares are normalised over the answers that remain.
        shares = self.shares(found.rollouts.tokens, answers.longest)
        return joined(attrs.evolve(found, rollouts=attrs.evolve(found.rollouts, shares=shares)))

    def advantages(self, rewards: NDArray[np.float64]) -> NDArray[np.float64]:
        """`A (b, K)` for rewards `(b, K)`, one group per row; see the class for the equation."""
        centred = rewards - rewards.mean(axis=1, keepdims=True)
        match self.scale_rewards:
            case "none":
                return centred
            case "batch":
                # Over all rewards of the batch, dropped groups included.
                spread = np.full_like(centred, rewards.std(ddof=1))
            case "group":
                spread = np.broadcast_to(rewards.std(axis=1, ddof=1, keepdims=True), centred.shape)
        # 0 / 0 for equal rewards with `eps = 0`.
        return np.divide(centred, spread + self.eps, out=np.zeros_like(centred), where=centred != 0.0)

    def shares(self, tokens: Tokens, longest: int) -> NDArray[np.float64]:
        """The loss weight of every token `(targets,)`: `1 / (n |y_i|)`, `1 / sum_i |y_i|` or `1 / (n longest)`, for n answers."""
        lengths = tokens.targets
        match self.normalise:
            case "sequence":
                return np.repeat(1.0 / (len(lengths) * np.maximum(lengths, 1)), lengths)
            case "token":
                return np.full(int(lengths.sum()), 1.0 / lengths.sum())
            case "length":
                # A constant in place of the answer's length: dividing by the length favours long wrong answers (arXiv 2503.20783).
                return np.full(int(lengths.sum()), 1.0 / (len(lengths) * longest))


def joined(batch: Batch) -> Batch:
    """Merge equal answers with equal advantages by adding their shares and counting them: the same loss at lower cost.

    Short answers are often equal: sixteen samples of one digit have at most ten distinct values.
    """
    rollouts = batch.rollouts
    if rollouts is None:
        return batch
    tokens, first, owner = rollouts.tokens, dict[tuple[bytes, int, float], int](), list[int]()
    for i, weight in enumerate(batch.weights.tolist()):
        # The start is part of the key: the same tokens may split into another prompt and answer.
        key = (tokens.sequence(i).tobytes(), int(tokens.starts[i]), weight)
        owner.append(first.setdefault(key, i))
    if len(first) == len(batch):
        return batch
    # The shares of sequence i are `shares[ends[i] - targets[i] : ends[i]]`.
    ends = np.cumsum(tokens.targets)
    shares = rollouts.shares.copy()
    for i, kept in enumerate(owner):
        if kept != i:
            count = int(tokens.targets[i])
            shares[ends[kept] - count : ends[kept]] += shares[ends[i] - count : ends[i]]
    counts = np.bincount(owner, weights=batch.counts, minlength=len(batch)).astype(np.int64)
    kept = np.array(sorted(first.values()), dtype=np.int64)
    return attrs.evolve(batch, rollouts=attrs.evolve(rollouts, shares=shares, counts=counts)).take(kept)


@hookimpl
def register_objectives(register: Callable[[str, type[Any]], None]) -> None:
    """Register `grpo`."""
    register("grpo", Grpo)
