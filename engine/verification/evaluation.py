"""Compares answers: logits, losses, predictions, and the examples that a sampler makes of them."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import numpy as np
from numpy.typing import NDArray

from ..boosting.tokens import SPLITS
from ..contracts import Outcome, Predictions, Selection
from .answers import Logits, read_logits
from .criterion import Criterion
from .findings import Finding, distance, magnitude
from .session import Session, at


@attrs.frozen(kw_only=True, eq=False)
class Answers:
    """The truth's answers to one split, and how near others may come to deciding otherwise."""

    outcome: Outcome
    predictions: Predictions
    logits: Logits
    """Against the candidate and the yardstick, in this order."""
    loss_yardstick: float
    """Error of the yardstick's losses."""

    @property
    def yardstick(self) -> float:
        """Error of the yardstick's logits."""
        return self.logits.errors[-1] if len(self.logits.errors) > 1 else 0.0

    def slack(self, criterion: Criterion) -> float:
        """Within what margin of the truth's logits a decision is open: both sides of it may move."""
        return 2.0 * criterion.allowed("logits", self.yardstick, self.logits.scale)

    def excused(self, output: NDArray[np.int64], criterion: Criterion) -> NDArray[np.bool_]:
        """Which of another's answers may differ from the truth's."""
        return self.logits.margins.excused(self.predictions.output, output, self.slack(criterion))

    def losses(self, theirs: NDArray[np.float64], quantity: str, criterion: Criterion) -> tuple[float, float]:
        """Error and allowed error of losses per example; losses below 1 nat are as exact as one of 1."""
        right = self.predictions.loss
        allowed = criterion.allowed(quantity, self.loss_yardstick, max(1.0, magnitude(right)))
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
    )


def compare_chosen(session: Session, number: int, right: Answers, theirs: Predictions) -> Selection:
    """What the sampler makes of each one's answers to the training split. Returns what it makes of the truth's.

    Where that differs it is asked again, with all that may differ put right: answers within their margin, and losses
    within their bound. What then still differs is a departure.
    """
    truth, candidate = session.runners.truth, session.runners.candidate
    selection = truth.select(number)
    with session.blamed(number, "chosen examples", "train"):
        outcome = candidate.experiment.judge("train", theirs)

    def chosen_of(outcome: Outcome) -> Selection:
        candidate.history[:] = [*truth.history[:-1], outcome]
        return candidate.select(number)

    same = _same(selection, chosen_of(outcome))
    excused = not same and _same(selection, chosen_of(_put_right(session, right, theirs, outcome)))
    found = at(number, "chosen examples", "train", error=float(not same and not excused))
    session.add([attrs.evolve(found, excused=int(excused))])
    return selection


def _put_right(session: Session, right: Answers, theirs: Predictions, outcome: Outcome) -> Outcome:
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
    """How many decisions differ without excuse, and how many with."""
    wrong, open_ = int(np.sum(~same & ~excused)), int(np.sum(~same & excused))
    return attrs.evolve(where, error=float(wrong), compared=len(same), excused=open_)


def compare_recorded(
    number: int, answers: Mapping[str, Answers], recorded: Mapping[str, Outcome], criterion: Criterion
) -> list[Finding]:
    """What a run recorded after round `number` against the truth with the same updates merged."""
    found = list[Finding]()
    for split, a in answers.items():
        outcome = recorded[split]
        error, allowed = a.losses(outcome.loss, "recorded loss", criterion)
        found.append(at(number, "recorded loss", split, error=error, allowed=allowed))
        same = (outcome.prediction == a.outcome.prediction) & (outcome.correct == a.outcome.correct)
        open_ = a.logits.margins.undecided(a.slack(criterion)) > 0
        found.append(decisions(at(number, "recorded predictions", split), same, open_))
    return found
