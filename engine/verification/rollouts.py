"""Verification of rollouts: the candidate samples completions, and every model trains on them.

Completions diverge if a draw falls on the border between two tokens, so models cannot sample separately. Instead, the
candidate's first and last completions are checked by the truth with the candidate's parameters at that step: each draw must
fall into its token's interval of the truth's cumulative probabilities, up to the allowed error of the logits; a completion
must end at a legal place; and stored log-probabilities must match the truth's.
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
    Tokens,
    TrainingRequest,
    Update,
)
from .findings import Finding, distance, magnitude
from .session import Session, at
from .step_replay import updates_of
from .train_steps import TracedTraining, train

Matrix = NDArray[np.float64]
SLACK_FACTOR = 2.0
"""Allowed error of an interval's border, in allowed errors of a logit: an error e of the logits moves a cumulative
probability by at most e / 2, and truncation to a nucleus divides that by `top_p`."""


@attrs.define(eq=False)
class DrawCheck:
    """Checks completions against a request, and counts deviations."""

    request: GenerationRequest
    tokens: Tokens
    wrong: int = 0
    """Tokens that do not match their draws, and completions with an illegal end."""
    excused: int = 0
    """Tokens whose draw is within the allowed error of a border."""
    compared: int = 0

    def add(self, row: int, z: Matrix, slack: float) -> None:
        """Check one completion by the truth's logits over the temperature `z (targets, vocabulary)`, with allowed error `slack`."""
        self.compared += len(z)
        self.wrong += not self._may_end(self.tokens.completion(row))
        if self.request.draws is None or self.request.sampling is None:
            chosen = self.tokens.completion(row).astype(np.int64)
            off = z.max(axis=1) - z[np.arange(len(z)), chosen]
        else:
            off = self._outside(z, row, slack)
        room = SLACK_FACTOR * slack
        self.wrong += int(np.sum(off > room))
        self.excused += int(np.sum((off > 0.0) & (off <= room)))

    def finding(self, where: Finding) -> Finding:
        """The finding: no token may be wrong."""
        return attrs.evolve(where, error=float(self.wrong), compared=self.compared, excused=self.excused)

    def _may_end(self, tokens: NDArray[np.int32]) -> bool:
        """Whether a completion ends with its only end token, or is finished, or is at the length limit."""
        request, said = self.request, tokens.tolist()
        ends = [place for place, token in enumerate(said) if token in request.end_tokens]
        if ends or not said or len(said) >= request.max_new_tokens:
            return len(said) in range(1, request.max_new_tokens + 1) and ends in ([], [len(said) - 1])
        return request.finished is not None and request.finished(tokens)

    def _outside(self, z: Matrix, row: int, slack: float) -> Matrix:
        """Distance of each draw from its token's interval of cumulative probabilities; 0 inside."""
        request, rows = self.request, np.arange(len(z))
        if request.draws is None or request.sampling is None:
            raise ValueError("there are no draws")
        p, chosen = np.exp(log_softmax(z)), self.tokens.completion(row).astype(np.int64)
        share, open_ = 1.0, np.zeros(len(z), dtype=np.bool_)
        if request.sampling.top_p < 1.0:
            share = request.sampling.top_p
            p, open_ = _nucleus(p, request.sampling.nucleus_mass, SLACK_FACTOR * slack)
        edges = np.cumsum(p, axis=1)
        edges /= edges[:, -1:]
        lower = np.where(chosen > 0, edges[rows, np.maximum(chosen - 1, 0)], 0.0)
        draws = request.draws[row, : len(z)]
        off = share * np.maximum(0.0, np.maximum(lower - draws, draws - edges[rows, chosen]))
        return np.where(open_ & (off > 0.0), np.minimum(off, SLACK_FACTOR * slack), off)


def _nucleus(p: Matrix, enough: float, room: float) -> tuple[Matrix, NDArray[np.bool_]]:
    """Probabilities with 0 outside the nucleus, and the rows whose nucleus border is within the allowed error."""
    order = np.argsort(-p, axis=1, kind="stable")
    ordered = np.take_along_axis(p, order, axis=1)
    before = np.cumsum(ordered, axis=1) - ordered
    kept = np.zeros_like(p)
    np.put_along_axis(kept, order, np.where(before < enough, ordered, 0.0), axis=1)
    return kept, np.abs(before - enough).min(axis=1) <= room


def log_softmax(z: Matrix) -> Matrix:
    """`z - log sum_j exp z_j`, row by row."""
    shifted = z - z.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


EMPTY = Batch(indices=np.empty(0, dtype=np.int64), weights=np.empty(0))
LOG_P = "answer log-probabilities"
Matrix = NDArray[np.float64]


@attrs.frozen(kw_only=True, eq=False)
class CandidateRollouts:
    """The candidate's rollouts of a round, and its training on them."""

    batches: Sequence[Batch]
    traced: TracedTraining


@attrs.frozen(kw_only=True, eq=False)
class RolloutBatch:
    """One batch of the candidate's completions, with its request and position in the round."""

    number: int
    where: str
    rows: Examples
    answers: Answers
    request: GenerationRequest

    @classmethod
    def of(cls, number: int, request: TrainingRequest, rollout: Rollout, place: int) -> RolloutBatch:
        """The batch at a position of the round."""
        answers = rollout.answers[place]
        rows = request.examples.take(np.repeat(answers.indices, answers.rewards.shape[1]))
        return cls(
            number=number,
            where="last" if place else "first",
            rows=attrs.evolve(rows, inputs=answers.tokens),
            answers=answers,
            request=rollout.requests[place],
        )

    @property
    def temperature(self) -> float:
        """Sampling temperature."""
        return 1.0 if self.request.sampling is None else self.request.sampling.temperature

    def log_p(self, row: int, logits: Matrix) -> Matrix:
        """Log-probabilities of one completion's tokens."""
        chosen = self.answers.tokens.completion(row).astype(np.int64)
        return log_softmax(logits / self.temperature)[np.arange(len(chosen)), chosen]


def train_on_own_rollouts(
    session: Session, number: int, request: TrainingRequest, rollout: Rollout
) -> CandidateRollouts:
    """Train the candidate on its own rollouts, and check its first and last completions against the truth."""
    with session.blamed(number, "answers", "every prompt"):
        traced = train(
            session.models["candidate"], attrs.evolve(request, batches=_first(rollout, request.steps))
        )
    batches = list(rollout.batches)
    for place in sorted({0, len(rollout.answers) - 1}) if rollout.answers else ():
        batch = RolloutBatch.of(number, request, rollout, place)
        if place == 0:
            compare_log_probabilities(session, number, request, batch.rows, rollout.temperature)
        step = place * rollout.iterations
        values = traced.steps[step - 1].values if step else None
        _compare_answers(session, batch, _updates(session, request, values))
    return CandidateRollouts(batches=batches, traced=traced)


def compare_recorded_answers(session: Session, number: int, request: TrainingRequest) -> None:
    """Compare log-probabilities of a recorded round's first completions, by every model at the start of the round."""
    batch = next((b for b in request.fixed_batches if b.rollouts is not None), None)
    if batch is None or batch.rollouts is None:
        return
    rows = batch.rows(request.examples)
    compare_log_probabilities(session, number, request, rows, batch.rollouts.temperature)


def compare_log_probabilities(
    session: Session, number: int, request: TrainingRequest, rows: Examples, temperature: float
) -> None:
    """Compare log-probabilities of every generated token under the round's initial policy."""
    found = dict[str, Matrix]()
    for role, model in session.models.items():
        with session.blamed(number, LOG_P, "start", role):
            found[role] = _log_probabilities(model, request, rows, temperature)
    t = found["truth"]
    _compare_log_p(session, number, "start", found["candidate"], (t, found.get("yardstick", t)))


def _log_probabilities(
    model: BoostedModel, request: TrainingRequest, rows: Examples, temperature: float
) -> Matrix:
    """Log-probabilities from a training request with one empty step."""
    found = list[Matrix]()

    def batches(policy: Policy) -> Iterator[Batch]:
        found.append(policy.log_probabilities(rows, temperature))
        yield EMPTY

    model.train(attrs.evolve(request, batches=batches, learning_rates=np.zeros(1)))
    return found[0]


def _updates(
    session: Session, request: TrainingRequest, values: Mapping[str, Matrix] | None
) -> Mapping[str, Update]:
    """Updates of trained values by site; None means the round's initial values."""
    if values is not None:
        return updates_of(request, values)
    initial = attrs.evolve(request, batches=[EMPTY], learning_rates=np.zeros(1))
    return session.models["truth"].train(initial).updates


def _compare_answers(session: Session, batch: RolloutBatch, updates: Mapping[str, Update]) -> None:
    """Check tokens against their draws, and their stored log-probabilities, by the truth with the candidate's parameters."""
    answers, T = batch.answers, batch.temperature
    check, found = DrawCheck(request=batch.request, tokens=answers.tokens), list[tuple[Matrix, Matrix]]()
    with _with_updates(session, updates) as models:
        for row in range(len(batch.rows)):
            truth, yardstick = _logits(models, batch.rows, row)
            slack = session.criterion.allowed("logits", distance(yardstick, truth), magnitude(truth))
            check.add(row, truth / T, slack / T)
            found.append((batch.log_p(row, truth), batch.log_p(row, yardstick)))
    session.add([check.finding(at(batch.number, "answers", batch.where))])
    if answers.old is not None:
        _compare_log_p(session, batch.number, batch.where, answers.old, _columns(found))
    if answers.start is not None:
        rows = range(len(batch.rows))
        began = [tuple(batch.log_p(row, z) for z in _logits(session.models, batch.rows, row)) for row in rows]
        _compare_log_p(session, batch.number, f"{batch.where}, of the start", answers.start, _columns(began))


def _columns(pairs: Sequence[tuple[Matrix, ...]]) -> tuple[Matrix, Matrix]:
    """The truth's and the yardstick's values of all completions."""
    t, y = (np.concatenate(blocks) for blocks in zip(*pairs, strict=True))
    return t, y


def _compare_log_p(
    session: Session, number: int, where: str, found: Matrix, right: tuple[Matrix, Matrix]
) -> None:
    """Compare log-probabilities with the truth's and the yardstick's."""
    t, y = right
    allowed = session.criterion.allowed(LOG_P, distance(y, t), max(1.0, magnitude(t)))
    session.add([at(number, LOG_P, where, error=distance(found, t), allowed=allowed)])


def _logits(models: Mapping[str, BoostedModel], rows: Examples, row: int) -> tuple[Matrix, Matrix]:
    """Logits of one completion, by the truth and the yardstick (or the truth again)."""
    one = rows.take(np.array([row]))
    truth = models["truth"].logits(one)
    return truth, models["yardstick"].logits(one) if "yardstick" in models else truth


@contextmanager
def _with_updates(session: Session, updates: Mapping[str, Update]) -> Generator[Mapping[str, BoostedModel]]:
    """Temporarily merge updates into truth and yardstick."""
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
