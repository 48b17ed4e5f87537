"""Rollouts: sample answers from the current policy, score them with the task, and turn them into batches of a policy objective."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from ..contracts import (
    Answers,
    Batch,
    Completion,
    Decoding,
    Examples,
    GenerationRequest,
    Policy,
    PolicyObjective,
    Predictions,
    Selection,
    Tokens,
)
from ..contracts.records import RolloutMetrics
from ..errors import PluginError, RunError, blame
from ..foundation.run_context import Report
from .checks import check_prompts, check_rollouts
from .experiment import Experiment
from .generation import decoding_of, repeated, request_for, texts_of
from .round_plan import RoundPlan

Index = NDArray[np.int64]


@attrs.define(eq=False)
class Rollout:
    """One round's rollouts. Called with the policy, it yields a batch per step; it keeps the sampled answers for the record."""

    experiment: Experiment
    number: int
    prompts: Sequence[Index]
    steps: int
    report: Report
    purpose: str = "rollouts"
    """Name of the random stream that answers are drawn from."""
    batches: list[Batch] = attrs.field(factory=list)
    """One batch per step so far; each serves `iterations` steps in a row."""
    answers: list[Answers] = attrs.field(factory=list)
    requests: list[GenerationRequest] = attrs.field(factory=list)
    """One request per sampled batch. `verify` checks the tokens against its draws."""

    def __call__(self, policy: Policy) -> Iterator[Batch]:
        """Yield one batch per step. Each is sampled lazily, from the policy after the previous step."""
        self.batches.clear()
        self.answers.clear()
        self.requests.clear()
        while len(self.batches) < self.steps:
            batch = self.sample(policy)
            for _ in range(min(self.iterations, self.steps - len(self.batches))):
                self.batches.append(batch)
                yield batch

    @property
    def metrics(self) -> RolloutMetrics | None:
        """Reward statistics of the round's answers; None where none were sampled."""
        if not self.answers:
            return None
        rewards = [answers.rewards for answers in self.answers]
        # Group-relative advantages, r minus the group's mean, are all zero where the rewards of a prompt are equal.
        zero_variance = [np.ptp(r, axis=1) == 0.0 for r in rewards]
        return RolloutMetrics(
            answers=sum(r.size for r in rewards),
            tokens=sum(int(answers.tokens.targets.sum()) for answers in self.answers),
            reward=float(np.mean(np.concatenate(rewards))),
            reward_first=float(rewards[0].mean()),
            reward_last=float(rewards[-1].mean()),
            groups=sum(len(flags) for flags in zero_variance),
            zero_variance=sum(int(flags.sum()) for flags in zero_variance),
            skipped=sum(len(batch) == 0 for batch in self.batches),
            unended=sum(int((~answers.ended).sum()) for answers in self.answers),
        )

    @property
    def temperature(self) -> float:
        """Sampling temperature."""
        return self._objective.sampling.temperature

    @property
    def iterations(self) -> int:
        """Optimiser steps on the same answers."""
        return self._objective.iterations

    @property
    def _objective(self) -> PolicyObjective:
        return self.experiment.spec.policy_objective

    def sample(self, policy: Policy) -> Batch:
        """The batch of the next prompts, with answers of the current policy."""
        name = self.experiment.name_of("objective")
        answers = self._sample_answers(policy, self.prompts[len(self.answers)])
        self.answers.append(answers)
        with blame("objective", name):
            batch = self._objective.batch(answers)
        return check_rollouts(batch, name)

    def _sample_answers(self, policy: Policy, indices: Index) -> Answers:
        """Sample and score `group_size` answers to each of the prompts at `indices`."""
        experiment, objective, done = self.experiment, self._objective, len(self.answers)
        self.report("sampling answers", done, len(self.prompts))
        task = decoding_of(experiment.spec)
        if task is None:
            raise RunError("the task has no decoding options, so no answers can be sampled")
        decoding = attrs.evolve(task, samples=objective.group_size, sampling=objective.sampling)
        rows = repeated(experiment.encoded.train.take(indices), decoding.samples)
        rng = experiment.streams(self.purpose, self.number, str(done))
        request = request_for(experiment.spec, decoding, len(rows), rng, most=objective.max_new_tokens)
        self.requests.append(request)
        completions = experiment.write(policy, rows, request)
        tokens = continued(rows.inputs, completions)
        shape = (len(indices), decoding.samples)
        old, start = objective.remembers
        temperature, sequences = objective.sampling.temperature, attrs.evolve(rows, inputs=tokens)
        texts = texts_of(experiment.spec, decoding, tokens, completions)
        return Answers(
            indices=indices,
            tokens=tokens,
            rewards=self._rewards(indices, texts).reshape(shape),
            ended=self._ended(completions, decoding, request.max_new_tokens).reshape(shape),
            longest=request.max_new_tokens,
            old=policy.log_probabilities(sequences, temperature) if old else None,
            start=policy.log_probabilities(sequences, temperature, start=True) if start else None,
        )

    def _rewards(self, indices: Index, texts: tuple[str, ...]) -> NDArray[np.float64]:
        """The task's reward of every answer `(len(texts),)`. Raises `PluginError` for NaN or Inf."""
        count = len(texts)
        examples: Examples = self.experiment.splits.train.take(np.repeat(indices, count // len(indices)))
        predictions = Predictions(output=np.zeros(count, dtype=np.int64), loss=np.zeros(count), texts=texts)
        rewards = self.experiment.judge_examples(examples, predictions).reward.astype(np.float64)
        if not np.isfinite(rewards).all():  # NaN would pass as a group without variance and be dropped unseen
            raise PluginError(
                "task", self.experiment.name_of("task"), "judge() returned a reward that is NaN or Inf"
            )
        return rewards

    def _ended(self, completions: Sequence[Completion], decoding: Decoding, most: int) -> NDArray[np.bool_]:
        """Whether each answer ended by an end token or a stop string, and was not cut off at `most` tokens."""
        reader = self.experiment.spec.text_model
        return np.array(
            [
                c.end is not None
                or len(c.tokens) < most
                or any(stop in reader.decode(c.tokens) for stop in decoding.stop)
                for c in completions
            ],
            dtype=np.bool_,
        )


def rollout_of(experiment: Experiment, plan: RoundPlan, selection: Selection, report: Report) -> Rollout:
    """The rollouts that a round trains on. Each batch of answers serves `iterations` of its steps."""
    number, steps = plan.number, plan.steps
    count = -(-steps // experiment.spec.policy_objective.iterations)
    rng = experiment.streams("batches", number)
    prompts = _prompts(experiment, selection, count, plan.batch_size, rng)
    return Rollout(experiment=experiment, number=number, prompts=prompts, steps=steps, report=report)


def calibration_rollout(
    experiment: Experiment, number: int, selection: Selection, report: Report, *, count: int, batch_size: int
) -> Rollout:
    """Rollouts for the calibration of round `number`: `count` batches of `batch_size` prompts. No step is trained on them."""
    rng = experiment.streams("evidence", number)
    prompts = _prompts(experiment, selection, count, batch_size, rng)
    return Rollout(
        experiment=experiment,
        number=number,
        prompts=prompts,
        steps=count,
        report=report,
        purpose="evidence",
    )


def _prompts(
    experiment: Experiment, selection: Selection, count: int, batch_size: int, rng: np.random.Generator
) -> Sequence[Index]:
    """Checked prompts of the objective: `count` arrays of indices."""
    name = experiment.name_of("objective")
    with blame("objective", name):
        prompts = experiment.spec.policy_objective.prompts(selection, count, batch_size, rng)
    return check_prompts(prompts, count, len(experiment.splits.train), name)


def continued(prompts: Tokens, completions: Sequence[Completion]) -> Tokens:
    """Every prompt (the tokens before `starts`) followed by its completion, end token included."""
    starts = prompts.starts.tolist()
    heads = [prompts.sequence(i)[:start].tolist() for i, start in enumerate(starts)]
    sequences = [[*head, *c.with_end] for head, c in zip(heads, completions, strict=True)]
    return Tokens.join(sequences, starts)
