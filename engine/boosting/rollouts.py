"""Rollouts: prompts are answered by the policy as it is, judged, and made into batches, one after the other."""

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
from ..contracts.records import RolloutFacts
from ..errors import PluginError, RunError, blame
from ..foundation.run_context import Report
from .checks import check_prompts, check_rollouts
from .experiment import Experiment
from .generation import decoding_of, repeated, request_for, texts_of

Index = NDArray[np.int64]


@attrs.define(eq=False)
class Rollout:
    """One round's rollouts: called with the policy, it gives a batch for every step, and remembers what was answered."""

    experiment: Experiment
    number: int
    prompts: Sequence[Index]
    steps: int
    report: Report
    purpose: str = "rollouts"
    """Of the answers: the name of the stream that they are drawn from."""
    batches: list[Batch] = attrs.field(factory=list)
    """A batch for every step so far; `iterations` of them in a row are the same."""
    answers: list[Answers] = attrs.field(factory=list)
    requests: list[GenerationRequest] = attrs.field(factory=list)
    """What was asked for each time: the draws say which tokens had to come."""

    def __call__(self, policy: Policy) -> Iterator[Batch]:
        """Every batch is made when it is asked for: from the policy that the step before has left."""
        self.batches.clear()
        self.answers.clear()
        self.requests.clear()
        while len(self.batches) < self.steps:
            batch = self.ask(policy)
            for _ in range(min(self.iterations, self.steps - len(self.batches))):
                self.batches.append(batch)
                yield batch

    @property
    def facts(self) -> RolloutFacts | None:
        """What is recorded of the round's answers; None where there were none."""
        if not self.answers:
            return None
        rewards = [answers.rewards for answers in self.answers]
        alike = [np.ptp(r, axis=1) == 0.0 for r in rewards]
        return RolloutFacts(
            answers=sum(r.size for r in rewards),
            tokens=sum(int(answers.tokens.targets.sum()) for answers in self.answers),
            reward=float(np.mean(np.concatenate(rewards))),
            reward_first=float(rewards[0].mean()),
            reward_last=float(rewards[-1].mean()),
            groups=sum(len(a) for a in alike),
            zero_variance=sum(int(a.sum()) for a in alike),
            skipped=sum(len(batch) == 0 for batch in self.batches),
            unended=sum(int((~answers.ended).sum()) for answers in self.answers),
        )

    @property
    def temperature(self) -> float:
        """At which answers are drawn."""
        return self._objective.sampling.temperature

    @property
    def iterations(self) -> int:
        """Steps on the same answers."""
        return self._objective.iterations

    @property
    def _objective(self) -> PolicyObjective:
        return self.experiment.spec.policy_objective

    def ask(self, policy: Policy) -> Batch:
        """The batch of the next prompts, as the policy answers them now."""
        name = self.experiment.name_of("objective")
        answers = self._answers(policy, self.prompts[len(self.answers)])
        self.answers.append(answers)
        with blame("objective", name):
            batch = self._objective.batch(answers)
        return check_rollouts(batch, name)

    def _answers(self, policy: Policy, indices: Index) -> Answers:
        """Ask the prompts at `indices`, and judge what comes."""
        experiment, objective, done = self.experiment, self._objective, len(self.answers)
        self.report("answering", done, len(self.prompts))
        task = decoding_of(experiment.spec)
        if task is None:
            raise RunError("the task lets the model write nothing")
        decoding = attrs.evolve(task, samples=objective.group_size, sampling=objective.sampling)
        rows = repeated(experiment.encoded.train.take(indices), decoding.samples)
        rng = experiment.streams(self.purpose, self.number, str(done))
        request = request_for(experiment.spec, decoding, len(rows), rng, most=objective.max_new_tokens)
        self.requests.append(request)
        written = experiment.write(policy, rows, request)
        tokens = continued(rows.inputs, written)
        shape = (len(indices), decoding.samples)
        old, start = objective.remembers
        temperature, answered = objective.sampling.temperature, attrs.evolve(rows, inputs=tokens)
        return Answers(
            indices=indices,
            tokens=tokens,
            rewards=self._rewards(indices, texts_of(experiment.spec, decoding, tokens, written)).reshape(
                shape
            ),
            ended=self._ended(written, decoding, request.max_new_tokens).reshape(shape),
            longest=request.max_new_tokens,
            old=policy.log_probabilities(answered, temperature) if old else None,
            start=policy.log_probabilities(answered, temperature, start=True) if start else None,
        )

    def _rewards(self, indices: Index, texts: tuple[str, ...]) -> NDArray[np.float64]:
        """What the task thinks of every answer."""
        count = len(texts)
        examples: Examples = self.experiment.splits.train.take(np.repeat(indices, count // len(indices)))
        predictions = Predictions(output=np.zeros(count, dtype=np.int64), loss=np.zeros(count), texts=texts)
        rewards = self.experiment.judge_examples(examples, predictions).reward.astype(np.float64)
        if not np.isfinite(rewards).all():  # they would pass for a group that is silent
            raise PluginError(
                "task", self.experiment.name_of("task"), "judge() gave a reward that is NaN or Inf"
            )
        return rewards

    def _ended(self, written: Sequence[Completion], decoding: Decoding, most: int) -> NDArray[np.bool_]:
        """Whether answers came to their end: by an end token, or by a stop string."""
        reader = self.experiment.spec.text_model
        return np.array(
            [
                w.end is not None
                or len(w.tokens) < most
                or any(stop in reader.decode(w.tokens) for stop in decoding.stop)
                for w in written
            ],
            dtype=np.bool_,
        )


def rollout_of(
    experiment: Experiment, number: int, selection: Selection, report: Report, *, steps: int, batch_size: int
) -> Rollout:
    """The rollouts that round `number` trains on, for as many steps; answers serve the objective's `iterations` of them."""
    count = -(-steps // experiment.spec.policy_objective.iterations)
    rng = experiment.streams("batches", number)
    prompts = _prompts(experiment, selection, count, batch_size, rng)
    return Rollout(experiment=experiment, number=number, prompts=prompts, steps=steps, report=report)


def inquiry_of(
    experiment: Experiment, number: int, selection: Selection, report: Report, *, count: int, batch_size: int
) -> Rollout:
    """Prompts that are answered before round `number` begins, `batch_size` together, `count` times; nothing is trained on them."""
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
    """Ask the objective for prompts, and hold it to its contract."""
    name = experiment.name_of("objective")
    with blame("objective", name):
        prompts = experiment.spec.policy_objective.prompts(selection, count, batch_size, rng)
    return check_prompts(prompts, count, len(experiment.splits.train), name)


def continued(prompts: Tokens, written: Sequence[Completion]) -> Tokens:
    """Every prompt (the tokens before `starts`) with what was written after it, the end token included."""
    starts = prompts.starts.tolist()
    asked = [prompts.sequence(i)[:start].tolist() for i, start in enumerate(starts)]
    return Tokens.join([[*a, *w.trained] for a, w in zip(asked, written, strict=True)], starts)
