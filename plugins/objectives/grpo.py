"""Group-relative policy optimisation: answers are made likelier as far as they are better than others to the same prompt."""

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

    Every prompt of a batch is answered `group_size` times; the advantage of an answer is `A = (R - mean R) / (std R + eps)`, mean and
    standard deviation (of n - 1) over its group. The loss is that of `Rollouts`: the clipped surrogate, and `kl` times the divergence from
    the round's starting model. A group whose answers are all rewarded alike has no advantages: it is dropped, and counted in the
    round's record; the others' shares add up to what all would have had.
    """

    group_size: int = option(8, "answers a prompt; optimizer.batch_size counts prompts", several)
    iterations: int = option(1, "optimiser steps on the same answers", whole)
    temperature: float = option(1.0, "at which answers are drawn", positive)
    top_p: float = option(1.0, "draw from the likeliest tokens whose probabilities add up to this", nucleus)
    max_new_tokens: int = option(0, "tokens of an answer at most; 0: what the task allows", min=0)
    scale_rewards: Literal["group", "batch", "none"] = option(
        "group", "divide by the standard deviation of the group, of the batch, or not (Dr. GRPO)"
    )
    normalise: Literal["sequence", "token", "length"] = option(
        "sequence",
        "how much a token counts: every answer the same, every token the same (DAPO), or 1 / longest (Dr. GRPO)",
    )
    clip_low: float = option(0.2, "how far the ratio to the old policy may fall below 1", min=0.0, max=1.0)
    clip_high: float = option(0.2, "how far it may rise above 1", min=0.0)
    kl: float = option(0.0, "weight of the divergence from the round's starting model", min=0.0)
    eps: float = option(1e-4, "added to the standard deviation", min=0.0)
    mask_unended: bool = option(False, "leave answers that were cut off at the limit out of the loss")
    keeps: bool = option(True, "keep the answers in the run's folder, so that verify can replay them")

    @property
    def sampling(self) -> Sampling:
        """How answers are drawn."""
        return Sampling(temperature=self.temperature, top_p=self.top_p)

    @property
    def remembers(self) -> tuple[bool, bool]:
        """The old policy's log-probabilities where it is not the current one; the start's for the divergence."""
        return self.iterations > 1, self.kl > 0.0

    def prompts(
        self, selection: Selection, count: int, batch_size: int, rng: np.random.Generator
    ) -> Sequence[NDArray[np.int64]]:
        """Stratified draws: the sampler's shares hold in every batch."""
        return stratified_draws(selection, count, batch_size, rng)

    def batch(self, answers: Answers) -> Batch:
        """Advantages and shares of the answers whose groups say something; empty where none does."""
        K = answers.rewards.shape[1]
        heard = np.ptp(answers.rewards, axis=1) > 0.0
        kept = np.repeat(heard, K) & (answers.ended.ravel() | (not self.mask_unended))
        chosen = np.flatnonzero(kept)
        if len(chosen) == 0:
            return Batch(indices=np.empty(0, dtype=np.int64), weights=np.empty(0))
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
        shares = self.shares(found.rollouts.tokens, answers.longest)
        return joined(attrs.evolve(found, rollouts=attrs.evolve(found.rollouts, shares=shares)))

    def advantages(self, rewards: NDArray[np.float64]) -> NDArray[np.float64]:
        """`A (b, K)` of rewards `(b, K)`, each row a group."""
        centred = rewards - rewards.mean(axis=1, keepdims=True)
        match self.scale_rewards:
            case "none":
                return centred
            case "batch":
                spread = np.full_like(centred, rewards.std(ddof=1))
            case "group":
                spread = np.broadcast_to(rewards.std(axis=1, ddof=1, keepdims=True), centred.shape)
        return np.divide(centred, spread + self.eps, out=np.zeros_like(centred), where=centred != 0.0)

    def shares(self, tokens: Tokens, longest: int) -> NDArray[np.float64]:
        """A token's share in the loss: `1 / (n |y_i|)`, `1 / sum_i |y_i|`, or `1 / (n longest)`, for n answers."""
        lengths = tokens.targets
        match self.normalise:
            case "sequence":
                return np.repeat(1.0 / (len(lengths) * np.maximum(lengths, 1)), lengths)
            case "token":
                return np.full(int(lengths.sum()), 1.0 / lengths.sum())
            case "length":
                return np.full(int(lengths.sum()), 1.0 / (len(lengths) * longest))


def joined(batch: Batch) -> Batch:
    """Equal answers to a prompt with equal advantages as one, whose shares are added up and which are counted: the same loss, computed once.

    Short answers are often equal: sixteen samples of one digit are ten different ones at most.
    """
    rollouts = batch.rollouts
    if rollouts is None:
        return batch
    tokens, first, owner = rollouts.tokens, dict[tuple[bytes, int, float], int](), list[int]()
    for i, weight in enumerate(batch.weights.tolist()):
        key = (tokens.sequence(i).tobytes(), int(tokens.starts[i]), weight)
        owner.append(first.setdefault(key, i))
    if len(first) == len(batch):
        return batch
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
    """Offer `grpo`."""
    register("grpo", Grpo)
