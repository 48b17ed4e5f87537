"""Rollouts under verification: the candidate answers, and every model trains on its answers.

Sampling forks where a draw falls on the border between two tokens, so answers cannot be asked of every model anew. Instead the
candidate's own first and last ones are held to the truth, at the numbers that the candidate had trained until then: each token must be
the one whose share of the truth's cumulated probabilities holds the draw, up to what the logits may be off; an answer must end where it
may; and the log-probabilities that are remembered must be the truth's.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager

import attrs
import numpy as np
from numpy.typing import NDArray

from ..boosting.rollouts import Rollout
from ..contracts import (
    Answers,
    Batch,
    BoostedModel,
    Examples,
    GenerationRequest,
    Policy,
    TrainingRequest,
    Update,
)
from .draws import Held, log_softmax
from .findings import distance, magnitude
from .session import Session, at
from .step_replay import updates_of
from .train_steps import Traced, train

EMPTY = Batch(indices=np.empty(0, dtype=np.int64), weights=np.empty(0))
LOG_P = "answer log-probabilities"
Matrix = NDArray[np.float64]


@attrs.frozen(kw_only=True, eq=False)
class Answered:
    """What the candidate answered in a round, and how it trained on that."""

    batches: Sequence[Batch]
    traced: Traced


@attrs.frozen(kw_only=True, eq=False)
class Given:
    """One batch of the candidate's answers: to which request, and where in the round."""

    number: int
    where: str
    rows: Examples
    answers: Answers
    asked: GenerationRequest

    @classmethod
    def of(cls, number: int, request: TrainingRequest, rollout: Rollout, place: int) -> Given:
        """The answers at a place of the round."""
        answers = rollout.answers[place]
        rows = request.examples.take(np.repeat(answers.indices, answers.rewards.shape[1]))
        return cls(
            number=number,
            where="last" if place else "first",
            rows=attrs.evolve(rows, inputs=answers.tokens),
            answers=answers,
            asked=rollout.requests[place],
        )

    @property
    def temperature(self) -> float:
        """At which they were drawn."""
        return 1.0 if self.asked.sampling is None else self.asked.sampling.temperature

    def log_p(self, row: int, logits: Matrix) -> Matrix:
        """Log-probabilities of one answer's tokens."""
        chosen = self.answers.tokens.completion(row).astype(np.int64)
        return log_softmax(logits / self.temperature)[np.arange(len(chosen)), chosen]


def let_answer(session: Session, number: int, request: TrainingRequest, rollout: Rollout) -> Answered:
    """The candidate trains on its own rollouts; its first and its last answers of the round are held to the truth."""
    with session.blamed(number, "answers", "every prompt"):
        traced = train(
            session.models["candidate"], attrs.evolve(request, batches=_first(rollout, request.steps))
        )
    batches = list(rollout.batches)
    for place in sorted({0, len(rollout.answers) - 1}) if rollout.answers else ():
        given = Given.of(number, request, rollout, place)
        if place == 0:
            compare_log_probabilities(session, number, request, given.rows, rollout.temperature)
        step = place * rollout.iterations
        values = traced.steps[step - 1].values if step else None
        _compare_answers(session, given, _updates(session, request, values))
    return Answered(batches=batches, traced=traced)


def compare_recorded_answers(session: Session, number: int, request: TrainingRequest) -> None:
    """Log-probabilities of a recorded round's first answers, by every model at the start of the round."""
    batch = next((b for b in request.known if b.rollouts is not None), None)
    if batch is None or batch.rollouts is None:
        return
    rows = batch.rows(request.examples)
    compare_log_probabilities(session, number, request, rows, batch.rollouts.temperature)


def compare_log_probabilities(
    session: Session, number: int, request: TrainingRequest, rows: Examples, temperature: float
) -> None:
    """Of every answered token, under the policy that the round begins with."""
    found = dict[str, Matrix]()
    for role, model in session.models.items():
        with session.blamed(number, LOG_P, "start", role):
            found[role] = _log_probabilities(model, request, rows, temperature)
    t = found["truth"]
    _hold(session, number, "start", found["candidate"], (t, found.get("yardstick", t)))


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


def _updates(
    session: Session, request: TrainingRequest, values: Mapping[str, Matrix] | None
) -> Mapping[str, Update]:
    """What trained numbers make of every site; None: those that the round begins with."""
    if values is not None:
        return updates_of(request, values)
    still = attrs.evolve(request, batches=[EMPTY], learning_rates=np.zeros(1))
    return session.models["truth"].train(still).updates


def _compare_answers(session: Session, given: Given, updates: Mapping[str, Update]) -> None:
    """Tokens against their draws, and what is remembered of them, by a truth that has the candidate's numbers."""
    answers, T = given.answers, given.temperature
    held, found = Held(request=given.asked, tokens=answers.tokens), list[tuple[Matrix, Matrix]]()
    with _moved(session, updates) as models:
        for row in range(len(given.rows)):
            truth, yardstick = _logits(models, given.rows, row)
            slack = session.criterion.allowed("logits", distance(yardstick, truth), magnitude(truth))
            held.add(row, truth / T, slack / T)
            found.append((given.log_p(row, truth), given.log_p(row, yardstick)))
    session.add([held.finding(at(given.number, "answers", given.where))])
    if answers.old is not None:
        _hold(session, given.number, given.where, answers.old, _columns(found))
    if answers.start is not None:
        rows = range(len(given.rows))
        began = [tuple(given.log_p(row, z) for z in _logits(session.models, given.rows, row)) for row in rows]
        _hold(session, given.number, f"{given.where}, of the start", answers.start, _columns(began))


def _columns(pairs: Sequence[tuple[Matrix, ...]]) -> tuple[Matrix, Matrix]:
    """The truth's numbers of all answers, and the yardstick's."""
    t, y = (np.concatenate(blocks) for blocks in zip(*pairs, strict=True))
    return t, y


def _hold(session: Session, number: int, where: str, found: Matrix, right: tuple[Matrix, Matrix]) -> None:
    """Log-probabilities to the truth's and the yardstick's."""
    t, y = right
    allowed = session.criterion.allowed(LOG_P, distance(y, t), max(1.0, magnitude(t)))
    session.add([at(number, LOG_P, where, error=distance(found, t), allowed=allowed)])


def _logits(models: Mapping[str, BoostedModel], rows: Examples, row: int) -> tuple[Matrix, Matrix]:
    """Of one answer, by the truth and by the yardstick where there is one."""
    one = rows.take(np.array([row]))
    truth = models["truth"].logits(one)
    return truth, models["yardstick"].logits(one) if "yardstick" in models else truth


@contextmanager
def _moved(session: Session, updates: Mapping[str, Update]) -> Generator[Mapping[str, BoostedModel]]:
    """Truth and yardstick with the updates merged; afterwards as they were."""
    models = {role: model for role, model in session.models.items() if role != "candidate"}
    ensemble = session.runners.truth.ensemble
    try:
        for model in models.values():
            model.assemble([*ensemble, (updates, 1.0)])
        yield models
    finally:
        for model in models.values():
            model.assemble(ensemble)


def _first(rollout: Rollout, steps: int) -> Rollout:
    rollout.steps = min(rollout.steps, steps)
    return rollout
