"""Replay a run from disk, round by round, and compare it with the record."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ..boosting.experiment import data_sha256
from ..boosting.round_plan import RoundPlan
from ..boosting.tokens import SPLITS
from ..contracts import Frame, PolicyObjective, Selection, Update
from ..errors import UsageError
from ..runs.directory import RunDirectory
from .criterion import Criterion
from .evaluation import compare_answers, compare_chosen, compare_recorded, read_answers
from .findings import NOT_STORED, UNFINISHED, Finding, Notes
from .gradient_products import calibrate_frames
from .recorded import RecordedRound, Recording, read_round
from .round_end import RoundTraining, compare_merged, compare_training, scale_of
from .round_start import compare_directions, frames_of_weights, match_frames
from .session import Session, StoppedError, at
from .stored_frames import compare_stored_frames, other_sites
from .train_steps import compare_updates


def replay(session: Session, numbers: range, recording: Recording, notes: Notes) -> int:
    """Replay the rounds of a run, each from the recorded ensemble and in the recorded frames. Returns their number."""
    directory, runners = recording.directory, session.runners
    _check_data(session, directory)
    numbers = range(numbers.start, min(numbers.stop, len(directory.records)))
    for number in range(numbers.start):
        _add_recorded(session, read_round(directory, number))
    for number in numbers:
        before, now = read_round(directory, number - 1), read_round(directory, number)
        plan = runners.truth.plan(number)
        try:
            own = number > numbers.start or not runners.truth.experiment.spec.start.given
            note = _replay_round(session, plan, before if own else None, now, (recording.criterion, notes))
            notes.add(number, note)
        except StoppedError:
            notes.add(number, UNFINISHED)
            return number - numbers.start + 1
        _add_recorded(session, now)
    last = numbers.stop - 1
    session.synchronise(last)
    truth = runners.truth.experiment
    answers = {split: read_answers(session, split, truth.predict(split), role="truth") for split in SPLITS}
    final = read_round(directory, last)
    session.add(compare_recorded(last, answers, final.outcomes, recording.criterion))
    return len(numbers)


def _add_recorded(session: Session, now: RecordedRound) -> None:
    """Add a recorded round to the ensemble and to the sampler's history."""
    if now.updates is not None and now.record.scale != 0.0:
        plan = session.runners.truth.plan(now.record.round)
        session.runners.remember(plan, now.updates, now.record.scale)
    session.runners.truth.history.append(now.outcomes["train"])


def _replay_round(
    session: Session,
    plan: RoundPlan,
    before: RecordedRound | None,
    now: RecordedRound,
    by: tuple[Criterion, Notes],
) -> str:
    """Replay one round of a run; returns a note on it.

    `before` is None if the previous round belongs to another run, which may have another precision.
    """
    criterion, number = by[0], plan.number
    session.synchronise(number)
    compare_directions(session, number)
    right = frames_of_weights(session, plan)
    answers, theirs = compare_answers(session, number)
    if before is not None:
        session.add(compare_recorded(number - 1, answers, before.outcomes, criterion))
    if now.updates is None:
        return f"recorded as {now.record.status}; nothing of its training can be compared"
    selection = compare_chosen(session, number, answers["train"], theirs["train"])
    if isinstance(session.runners.truth.experiment.spec.objective, PolicyObjective) and now.rollouts is None:
        return "its rollouts were not stored (objective.keeps), so its training cannot be replayed"
    frames = (now.frames or {}) if session.runners.truth.experiment.spec.adapter.framed else {}
    _compare_recorded_frames(session, plan, selection, (right, frames), by)
    training = compare_training(session, plan, selection, frames, now)
    session.add(_recorded_updates(session, number, training, now.updates, criterion))
    scale = scale_of(session, training, now.record.scale)
    if scale is None:
        return f"recorded as {now.record.status}: {now.record.reason}"
    compare_merged(session, number, training, scale)
    return training.note


def _compare_recorded_frames(
    session: Session,
    plan: RoundPlan,
    selection: Selection,
    frames: tuple[Mapping[str, Frame], Mapping[str, Frame]],
    by: tuple[Criterion, Notes],
) -> None:
    """Compare stored frames with the truth's; data-driven frames only by their properties."""
    (right, recorded), (criterion, notes), number = frames, by, plan.number
    if not recorded:
        return
    calibrated = None if plan.calibration is None else calibrate_frames(session, plan, selection)
    if calibrated is not None:
        notes.add(number, calibrated.note)
        notes.add(number, other_sites(calibrated, recorded))
    if calibrated is None or not plan.data_driven:
        ours = {site: frame for site, frame in right.items() if calibrated is None or site in recorded}
        session.add(match_frames(session, number, "recorded frames", ours, recorded, criterion=criterion))
    elif isinstance(plan.spec.objective, PolicyObjective):
        notes.add(number, NOT_STORED)
    else:
        session.add(compare_stored_frames(session, number, calibrated, recorded, criterion))


def _recorded_updates(
    session: Session,
    number: int,
    training: RoundTraining,
    recorded: Mapping[str, Update],
    criterion: Criterion,
) -> list[Finding]:
    """Compare stored updates with the truth's, unless this replay has diverged by rounding."""
    where = at(number, "recorded update", "every site")
    if not training.comparable:
        return [attrs.evolve(where, compared=0, undefined=len(recorded))]
    truth = training.traced["truth"].training.updates
    yardstick = training.traced.get("yardstick", training.traced["truth"]).training.updates
    return compare_updates(where, (truth, recorded), criterion, (truth, yardstick))


def _check_data(session: Session, directory: RunDirectory) -> None:
    """Refuse data that differ from the run's."""
    recorded = (directory.provenance() or {}).get("hashes", {}).get("data")
    if recorded is not None and recorded != data_sha256(session.runners.truth.experiment.splits):
        raise UsageError(
            f"{directory.path}: the task's data have changed since the run; restore them, or verify its spec"
        )
