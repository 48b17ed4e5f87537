"""Compare logits, losses, predictions, and the examples that a sampler selects from them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from ..boosting.tokens import SPLITS
from ..contracts import BoostedModel, Examples, Outcome, Predictions, Selection, Tokens
from .criterion import Criterion
from .findings import Finding, distance, magnitude
from .session import Session, at

Matrix = NDArray[np.float64]
Index = NDArray[np.int64]
Mask = NDArray[np.bool_]

ROWS, TOKEN_ROWS = 4096, 256
"""Rows of logits in memory at once, since a vocabulary is wide."""


@attrs.frozen(kw_only=True, eq=False)
class Margins:
    """Decision margins of the truth: the smallest change of logits that changes a decision."""

    classes: Matrix | None
    """Logits `(n, classes)`, or values `(n, 1)`, which decide nothing; None if tokens are predicted."""
    tokens: Matrix
    """`|z_k - max_{j != k} z_j|` of every target token k."""
    owner: Index
    """The example of every target token."""
    count: int

    def undecided(self, slack: float) -> Index:
        """Number of decisions per example with a margin of at most `slack`."""
        if self.classes is None:
            return np.bincount(self.owner[self.tokens <= slack], minlength=self.count)
        if self.classes.shape[1] == 1:
            return np.zeros(self.count, dtype=np.int64)
        top = np.sort(self.classes, axis=1)
        return (top[:, -1] - top[:, -2] <= slack).astype(np.int64)

    def excused(self, truth: Index, other: Index, slack: float) -> Mask:
        """Examples on which two answers may differ: classes with logits within `slack`, or counts of right tokens within the undecided ones."""
        if self.classes is None:
            return np.abs(truth - other) <= self.undecided(slack)
        known = (other >= 0) & (other < self.classes.shape[1])
        rows = np.arange(self.count)
        gap = self.classes[rows, truth] - self.classes[rows, np.where(known, other, 0)]
        return known & (gap <= slack)


@attrs.frozen(kw_only=True, eq=False)
class Logits:
    """Errors of several models' logits, and the truth's margins."""

    scale: float
    """Largest magnitude of the truth's logits."""
    errors: tuple[float, ...]
    margins: Margins
    note: str = ""


def read_logits(truth: BoostedModel, others: Sequence[BoostedModel], examples: Examples) -> Logits:
    """Compare logits chunk by chunk, since rows of a whole split times a vocabulary do not fit into memory."""
    scale, errors, note = 0.0, [0.0] * len(others), ""
    classes, tokens, owner = list[Matrix](), list[Matrix](), list[Index]()
    for chunk in _chunks(examples):
        rows = examples.take(chunk)
        right = truth.logits(rows)
        scale = max(scale, magnitude(right))
        for i, other in enumerate(others):
            found = other.logits(rows)
            if found.shape != right.shape:
                note = f"shape {found.shape}, expected {right.shape}"
            errors[i] = max(errors[i], distance(found, right))
        if isinstance(rows.inputs, Tokens) and rows.inputs.targets.sum() > 0:
            tokens.append(_token_margins(right, rows.inputs))
            owner.append(np.repeat(chunk, rows.inputs.targets))
        else:
            classes.append(right)
    margins = Margins(
        classes=np.concatenate(classes) if classes and not tokens else None,
        tokens=np.concatenate(tokens) if tokens else np.empty(0),
        owner=np.concatenate(owner) if owner else np.empty(0, dtype=np.int64),
        count=len(examples),
    )
    return Logits(scale=scale, errors=tuple(errors), margins=margins, note=note)


def _token_margins(logits: Matrix, tokens: Tokens) -> Matrix:
    """`|z_k - max_{j != k} z_j|` for every target token k."""
    targets = np.concatenate([tokens.completion(i) for i in range(len(tokens))])
    rows = np.arange(len(targets))
    own = logits[rows, targets]
    rest = logits.copy()
    rest[rows, targets] = -math.inf
    return np.abs(own - rest.max(axis=1))


def _chunks(examples: Examples) -> Iterator[Index]:
    """Index chunks of consecutive examples, with a bounded number of rows of logits and at least one example."""
    tokens = isinstance(examples.inputs, Tokens) and examples.inputs.targets.sum() > 0
    rows = examples.inputs.targets if tokens else np.ones(len(examples), dtype=np.int64)
    budget, start, held = (TOKEN_ROWS if tokens else ROWS), 0, 0
    for end, count in enumerate(rows.tolist()):
        if held and held + count > budget:
            yield np.arange(start, end)
            start, held = end, 0
        held += count
    yield np.arange(start, len(examples))


@attrs.frozen(kw_only=True, eq=False)
class Answers:
    """The truth's answers to one split, with its margins and the yardstick's errors."""

    outcome: Outcome
    predictions: Predictions
    logits: Logits
    """Errors of the candidate and the yardstick, in this order."""
    loss_yardstick: float
    """Error of the yardstick's losses."""
    std: float | None = None
    """Regression: the target's units per unit of the model's output."""

    @property
    def yardstick(self) -> float:
        """Error of the yardstick's logits."""
        return self.logits.errors[-1] if len(self.logits.errors) > 1 else 0.0

    def slack(self, criterion: Criterion) -> float:
        """Margin below which a decision is undecided: twice the allowed error, since both logits may move."""
        return 2.0 * criterion.allowed("logits", self.yardstick, self.logits.scale)

    def excused(self, output: NDArray[np.int64], criterion: Criterion) -> NDArray[np.bool_]:
        """Which answers may differ from the truth's."""
        return self.logits.margins.excused(self.predictions.output, output, self.slack(criterion))

    def same(self, recorded: Outcome, criterion: Criterion) -> NDArray[np.bool_]:
        """Which recorded predictions are the truth's; values may differ by the slack, and `correct` follows from them."""
        if self.std is not None:
            difference = recorded.prediction.view(np.float64) - self.outcome.prediction.view(np.float64)
            return np.abs(difference) <= self.std * self.slack(criterion)
        return (recorded.prediction == self.outcome.prediction) & (recorded.correct == self.outcome.correct)

    def losses(self, theirs: NDArray[np.float64], quantity: str, criterion: Criterion) -> tuple[float, float]:
        """Error and allowed error of losses per example.

        Errors are relative to the largest of 1 nat, the losses and the logits: a loss is a difference of logits, and as exact as they are.
        """
        right = self.predictions.loss
        scale = max(1.0, magnitude(right), self.logits.scale)
        allowed = criterion.allowed(quantity, self.loss_yardstick, scale)
        return distance(theirs, right), allowed


def compare_answers(
    session: Session, number: int, suffix: str = ""
) -> tuple[dict[str, Answers], dict[str, Predictions]]:
    """Logits, losses and predictions of every split; the truth's answers, and the candidate's."""
    answers, theirs = dict[str, Answers](), dict[str, Predictions]()
    for done, split in enumerate(SPLITS):
        session.report("answers" + suffix, done, len(SPLITS))
        right = session.runners.truth.experiment.predict(split)
        with session.blamed(number, "logits" + suffix, split):
            theirs[split] = session.runners.candidate.experiment.predict(split)
            answers[split] = a = read_answers(session, split, right)
        allowed = session.criterion.allowed("logits" + suffix, a.yardstick, a.logits.scale)
        error, note = a.logits.errors[0], a.logits.note
        session.add([at(number, "logits" + suffix, split, error=error, allowed=allowed, note=note)])
        if not suffix:
            error, allowed = a.losses(theirs[split].loss, "loss", session.criterion)
            session.add([at(number, "loss", split, error=error, allowed=allowed)])
        same = theirs[split].output == a.predictions.output
        excused = a.excused(theirs[split].output, session.criterion)
        session.add([decisions(at(number, "predictions" + suffix, split), same, excused)])
    return answers, theirs


def read_answers(
    session: Session, split: str, predictions: Predictions, *, role: str = "candidate"
) -> Answers:
    """The truth's predictions of a split, with its logits compared with another model's and the yardstick's."""
    truth, yardstick = session.runners.truth.experiment, session.models.get("yardstick")
    encoded = getattr(truth.encoded, split)
    others = [session.models[role], *([] if yardstick is None else [yardstick])]
    loss = predictions.loss if yardstick is None else yardstick.predict(encoded).loss
    return Answers(
        outcome=truth.judge(split, predictions),
        predictions=predictions,
        logits=read_logits(truth.model, others, encoded),
        loss_yardstick=distance(loss, predictions.loss),
        std=encoded.values and encoded.values.std,
    )


def compare_chosen(session: Session, number: int, right: Answers, theirs: Predictions) -> Selection:
    """Compare the sampler's selections from both answers to the training split. Returns the truth's selection.

    If they differ, the candidate's excusable differences are replaced by the truth's values: answers within their margin, and
    losses within their bound. A selection that still differs is a departure.
    """
    truth, candidate = session.runners.truth, session.runners.candidate
    selection = truth.select(number)
    with session.blamed(number, "chosen examples", "train"):
        outcome = candidate.experiment.judge("train", theirs)

    def chosen_of(outcome: Outcome) -> Selection:
        candidate.history[:] = [*truth.history[:-1], outcome]
        return candidate.select(number)

    same = _same(selection, chosen_of(outcome))
    excused = not same and _same(selection, chosen_of(_with_excused(session, right, theirs, outcome)))
    found = at(number, "chosen examples", "train", error=float(not same and not excused))
    session.add([attrs.evolve(found, excused=int(excused))])
    return selection


def _with_excused(session: Session, right: Answers, theirs: Predictions, outcome: Outcome) -> Outcome:
    truth, mask = right.outcome, right.excused(theirs.output, session.criterion)
    error, allowed = right.losses(theirs.loss, "loss", session.criterion)
    return attrs.evolve(
        outcome,
        prediction=np.where(mask, truth.prediction, outcome.prediction),
        correct=np.where(mask, truth.correct, outcome.correct),
        reward=np.where(mask, truth.reward, outcome.reward),
        loss=truth.loss if error <= allowed else outcome.loss,
    )


def _same(one: Selection, two: Selection) -> bool:
    return np.array_equal(one.indices, two.indices) and np.array_equal(one.weights, two.weights)


def decisions(where: Finding, same: NDArray[np.bool_], excused: NDArray[np.bool_]) -> Finding:
    """Number of differing decisions, not excused and excused."""
    wrong, open_ = int(np.sum(~same & ~excused)), int(np.sum(~same & excused))
    return attrs.evolve(where, error=float(wrong), compared=len(same), excused=open_)


def compare_recorded(
    number: int, answers: Mapping[str, Answers], recorded: Mapping[str, Outcome], criterion: Criterion
) -> list[Finding]:
    """Compare outcomes recorded after round `number` with the truth, with the same updates merged."""
    found = list[Finding]()
    for split, a in answers.items():
        outcome = recorded[split]
        error, allowed = a.losses(outcome.loss, "recorded loss", criterion)
        found.append(at(number, "recorded loss", split, error=error, allowed=allowed))
        same = a.same(outcome, criterion)
        open_ = a.logits.margins.undecided(a.slack(criterion)) > 0
        found.append(decisions(at(number, "recorded predictions", split), same, open_))
    return found
