"""Rollouts under verification: the candidate answers, and every model trains on its answers.

Sampling forks where a draw falls on the border between two tokens, so answers cannot be asked of every model anew. Instead the
candidate's own are held to the truth: each token must be the one whose share of the truth's cumulated probabilities holds the draw, up
to what the logits may be off; and their log-probabilities must be the truth's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from ..boosting.rollouts import Rollout
from ..contracts import (
    Batch,
    BoostedModel,
    Examples,
    GenerationRequest,
    Policy,
    Rollouts,
    Tokens,
    TrainingRequest,
)
from .bench import Bench, at
from .findings import Finding, distance, magnitude
from .training import Traced, train

EMPTY = Batch(indices=np.empty(0, dtype=np.int64), weights=np.empty(0))
Matrix = NDArray[np.float64]


@attrs.frozen(kw_only=True, eq=False)
class Answered:
    """What the candidate answered in a round, and how it trained on that."""

    batches: Sequence[Batch]
    traced: Traced


def let_answer(bench: Bench, number: int, request: TrainingRequest, rollout: Rollout) -> Answered:
    """The candidate trains on its own rollouts; its answers at the start of the round are held to the truth."""
    with bench.asking(number, "answers", "every prompt"):
        traced = train(
            bench.models["candidate"], attrs.evolve(request, batches=_first(rollout, request.steps))
        )
    batches = list(rollout.batches)
    answers = rollout.answers[0] if rollout.answers else None
    if answers is not None:
        rows = request.examples.take(np.repeat(answers.indices, answers.rewards.shape[1]))
        rows = attrs.evolve(rows, inputs=answers.tokens)
        compare_log_probabilities(bench, number, request, rows, rollout.temperature)
        bench.add([_held_to_draws(bench, number, rows, rollout)])
    return Answered(batches=batches, traced=traced)


def compare_recorded_answers(bench: Bench, number: int, request: TrainingRequest) -> None:
    """Log-probabilities of a recorded round's first answers, by every model at the start of the round."""
    batch = next((b for b in request.known if b.rollouts is not None), None)
    if batch is None or batch.rollouts is None:
        return
    rollouts: Rollouts = batch.rollouts
    compare_log_probabilities(bench, number, request, batch.rows(request.examples), rollouts.temperature)


def compare_log_probabilities(
    bench: Bench, number: int, request: TrainingRequest, rows: Examples, temperature: float
) -> None:
    """Of every answered token, under the policy that the round begins with."""
    found = dict[str, Matrix]()
    for role, model in bench.models.items():
        with bench.asking(number, "answer log-probabilities", "train", role):
            found[role] = _log_probabilities(model, request, rows, temperature)
    t = found["truth"]
    yardstick = distance(found.get("yardstick", t), t)
    allowed = bench.criterion.allowed("answer log-probabilities", yardstick, max(1.0, magnitude(t)))
    error = distance(found["candidate"], t)
    bench.add([at(number, "answer log-probabilities", "train", error=error, allowed=allowed)])


def _log_probabilities(
    model: BoostedModel, request: TrainingRequest, rows: Examples, temperature: float
) -> Matrix:
    """Asked of a policy that is about to train, and then does not."""
    found = list[Matrix]()

    def batches(policy: Policy) -> Iterator[Batch]:
        found.append(policy.log_probabilities(rows, temperature))
        yield EMPTY

    model.train(attrs.evolve(request, batches=batches, learning_rates=np.zeros(1)))
    return found[0]


def _held_to_draws(bench: Bench, number: int, rows: Examples, rollout: Rollout) -> Finding:
    """How many of the first answers' tokens are not the ones that the draws say, by the truth's probabilities.

    A logit that is off by e moves a cumulated probability by at most e / temperature. With a nucleus the border of it counts
    too, and only tokens of answers without one are held.
    """
    tokens, request = rows.inputs, rollout.request
    found = at(number, "answers", "train")
    if request is None or request.sampling is None or request.draws is None or request.sampling.top_p < 1.0:
        return attrs.evolve(found, compared=0, undefined=int(tokens.targets.sum()))
    truth, wrong, open_ = bench.models["truth"], 0, 0
    for i in range(len(tokens)):
        logits = truth.logits(rows.take(np.array([i])))
        slack = bench.criterion.allowed("logits", 0.0, magnitude(logits)) / request.sampling.temperature
        off = _outside(logits / request.sampling.temperature, tokens, i, request)
        wrong += int(np.sum(off > 2.0 * slack))
        open_ += int(np.sum((off > 0.0) & (off <= 2.0 * slack)))
    return attrs.evolve(found, error=float(wrong), compared=int(tokens.targets.sum()), excused=open_)


def _outside(z: Matrix, tokens: Tokens, index: int, request: GenerationRequest) -> Matrix:
    """How far each draw is outside the chosen token's share of the cumulated probabilities; 0 within."""
    if request.draws is None:
        raise ValueError("there are no draws")
    chosen, rows = tokens.completion(index).astype(np.int64), np.arange(len(z))
    p = np.exp(z - z.max(axis=1, keepdims=True))
    edges = np.cumsum(p, axis=1) / p.sum(axis=1, keepdims=True)
    upper = edges[rows, chosen]
    lower = np.where(chosen > 0, edges[rows, np.maximum(chosen - 1, 0)], 0.0)
    draws = request.draws[index, : len(z)]
    return np.maximum(0.0, np.maximum(lower - draws, draws - upper))


def _first(rollout: Rollout, steps: int) -> Rollout:
    rollout.steps = min(rollout.steps, steps)
    return rollout
