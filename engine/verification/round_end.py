"""Compare the end of a round: training, the trial update, and the merged update."""

from __future__ import annotations

import math
from collections.abc import Mapping

import attrs
import numpy as np
from numpy.typing import NDArray

from ..boosting.rollouts import Rollout
from ..boosting.round_plan import RoundPlan
from ..contracts import Frame, Refusal, Selection, TrainingRequest, Update
from ..errors import RunError
from .evaluation import compare_answers
from .findings import distance, magnitude
from .recorded import RecordedRound
from .rollouts import compare_recorded_answers, train_on_own_rollouts
from .session import Session, StoppedError, at
from .step_replay import StepReplay
from .train_steps import TracedTraining, compare_own_updates, compare_steps, train


@attrs.frozen(kw_only=True, eq=False)
class RoundTraining:
    """A round's training."""

    traced: Mapping[str, TracedTraining]
    """By role."""
    diverged: int | None
    """The step at which the candidate diverged by rounding alone, if any."""
    comparable: bool
    """Whether the end of training meets the criterion's bounds."""

    @property
    def note(self) -> str:
        """A note on divergence."""
        if self.diverged is None:
            return ""
        return "training diverged by rounding alone, within its bounds; later steps were not compared"


def compare_training(
    session: Session,
    plan: RoundPlan,
    selection: Selection,
    frames: Mapping[str, Frame],
    run: RecordedRound | None = None,
) -> RoundTraining:
    """Train every model on the same request, and compare; for a recorded `run`, on its rollouts and from its starting point."""
    runner, recorded = session.runners.truth, None if run is None else run.rollouts
    number, drawn = plan.number, runner.batches(plan, selection)
    request = session.limits.cut_request(runner.request(plan, drawn, frames))
    traced = dict[str, TracedTraining]()
    if isinstance(drawn, Rollout) and recorded is None:
        own = session.runners.candidate.batches(plan, selection)
        if not isinstance(own, Rollout):
            raise RunError("an objective that gives rollouts to one model and none to another")
        rollouts = train_on_own_rollouts(session, number, request, own)
        traced["candidate"] = rollouts.traced
        request = attrs.evolve(request, batches=rollouts.batches)
    elif recorded is not None:
        request = attrs.evolve(request, batches=list(recorded)[: request.steps])
        compare_recorded_answers(session, number, request)
    traced |= _train_others(session, number, request, traced)
    of = (traced["truth"], traced.get("yardstick", traced["truth"]), traced["candidate"])
    criterion = session.criterion
    replay = StepReplay(
        model=session.models["truth"],
        ensemble=runner.ensemble,
        request=request,
        unit=criterion.unit,
        rng=runner.experiment.streams("verify", number),
    )
    steps = compare_steps(number, of, criterion, replay)
    own = compare_own_updates(number, request, of[1], of[2], criterion)
    session.add([*steps.findings, *own])
    if any(math.isinf(finding.error) for finding in own):
        raise StoppedError  # there is no update to merge
    comparable = steps.diverged is None and not steps.explained
    return RoundTraining(traced=traced, diverged=steps.diverged, comparable=comparable)


def _train_others(
    session: Session, number: int, request: TrainingRequest, done: Mapping[str, TracedTraining]
) -> dict[str, TracedTraining]:
    """Train every other model on the same batches."""
    traced = dict[str, TracedTraining]()
    for role, model in session.models.items():
        if role in done:
            continue

        def on_step(step: int, loss: float, role: str = role) -> None:
            del loss
            session.report(f"training the {role}", step, request.steps)

        with session.blamed(number, "gradient", "every site", role):
            traced[role] = train(model, attrs.evolve(request, on_step=on_step))
    return traced


def scale_of(session: Session, training: RoundTraining, recorded: float | None) -> float | None:
    """The recorded scale, or the merge policy's choice for the truth; None if it refuses."""
    if recorded is not None:
        return recorded or None
    choice = session.runners.truth.choose(training.traced["truth"].training)
    return None if isinstance(choice, Refusal) else choice


def compare_merged(session: Session, number: int, training: RoundTraining, scale: float) -> None:
    """Evaluate and merge the candidate's update in every model, and compare."""
    update = training.traced["candidate"].training.updates
    _compare_trials(session, number, update, scale)
    for role, model in session.models.items():
        with session.blamed(number, "merged weight", "every site", role):
            model.assemble([*session.runners.truth.ensemble, (update, scale)])
    _compare_weights(session, number)
    compare_answers(session, number, " after")


def _compare_trials(session: Session, number: int, update: Mapping[str, Update], scale: float) -> None:
    examples, losses = session.runners.truth.experiment.encoded.validation, dict[str, NDArray[np.float64]]()
    for role, model in session.models.items():
        with session.blamed(number, "trial loss", "validation", role):
            losses[role] = model.predict(examples, update, scale).loss
    t = losses["truth"]
    yardstick = distance(losses.get("yardstick", t), t)
    allowed = session.criterion.allowed("trial loss", yardstick, max(1.0, magnitude(t)))
    error = distance(losses["candidate"], t)
    session.add([at(number, "trial loss", "validation", error=error, allowed=allowed)])


def _compare_weights(session: Session, number: int) -> None:
    for site in session.runners.truth.experiment.sites:
        t = session.models["truth"].weight(site.name)
        yardstick = session.models.get("yardstick")
        y = distance(yardstick.weight(site.name), t) if yardstick else 0.0
        with session.blamed(number, "merged weight", site.name):
            error = distance(session.models["candidate"].weight(site.name), t)
        allowed = session.criterion.allowed("merged weight", y, magnitude(t))
        session.add([at(number, "merged weight", site.name, error=error, allowed=allowed)])
