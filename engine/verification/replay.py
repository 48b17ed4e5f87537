"""Replays a run from disk, round by round, and compares what was recorded."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ..boosting.experiment import data_sha256
from ..boosting.round_plan import is_data_driven
from ..boosting.tokens import SPLITS
from ..contracts import Frame, PolicyObjective, Selection, Update
from ..errors import UsageError
from ..runs.directory import RunDirectory
from .criterion import Criterion
from .evaluation import compare_answers, compare_chosen, compare_recorded, read_answers
from .findings import Finding
from .gradient_products import hear, hears
from .notes import UNFINISHED, UNKEPT, Notes
from .recorded import RecordedRound, Recording, read_round
from .round_end import Round, compare_merged, compare_training, scale_of
from .round_start import compare_directions, frames_of_weights, match_frames
from .session import Session, StoppedError, at
from .stored_frames import hold_recorded, other_sites
from .train_steps import compare_updates


def replay(session: Session, numbers: range, recording: Recording, notes: Notes) -> int:
    """The rounds of a run, every one from the recorded ensemble, in the recorded frames. Returns how many there were."""
    directory, runners = recording.directory, session.runners
    _check_data(session, directory)
    numbers = range(numbers.start, min(numbers.stop, len(directory.records)))
    for number in range(numbers.start):
        _take(session, read_round(directory, number))
    for number in numbers:
        before, now = read_round(directory, number - 1), read_round(directory, number)
        try:
            own = number > numbers.start or not runners.truth.experiment.spec.start.given
            note = _replay_round(session, number, before if own else None, now, (recording.criterion, notes))
            notes.add(number, note)
        except StoppedError:
            notes.add(number, UNFINISHED)
            return number - numbers.start + 1
        _take(session, now)
    last = numbers.stop - 1
    session.synchronise(last)
    truth = runners.truth.experiment
    answers = {split: read_answers(session, split, truth.predict(split), role="truth") for split in SPLITS}
    final = read_round(directory, last)
    session.add(compare_recorded(last, answers, final.outcomes, recording.criterion))
    return len(numbers)


def _take(session: Session, now: RecordedRound) -> None:
    """A round as it is recorded: part of the ensemble, and of what the sampler knows."""
    if now.updates is not None and now.record.scale != 0.0:
        session.runners.remember(now.record.round, now.updates, now.record.scale)
    session.runners.truth.history.append(now.outcomes["train"])


def _replay_round(
    session: Session,
    number: int,
    before: RecordedRound | None,
    now: RecordedRound,
    by: tuple[Criterion, Notes],
) -> str:
    """One round of a run; returns what is to be said of it.

    `before` is None where the round before is another run's, which may have been made in another precision.
    """
    criterion = by[0]
    session.synchronise(number)
    compare_directions(session, number)
    right = frames_of_weights(session, number)
    answers, theirs = compare_answers(session, number)
    if before is not None:
        session.add(compare_recorded(number - 1, answers, before.outcomes, criterion))
    if now.updates is None:
        return f"recorded as {now.record.status}; its training left nothing to compare"
    selection = compare_chosen(session, number, answers["train"], theirs["train"])
    if isinstance(session.runners.truth.experiment.spec.objective, PolicyObjective) and now.rollouts is None:
        return "its answers were not kept (objective.keeps), so its training cannot be replayed"
    frames = (now.frames or {}) if session.runners.truth.experiment.spec.adapter.framed else {}
    _compare_recorded_frames(session, number, selection, (right, frames), by)
    played = compare_training(session, number, selection, frames, now)
    session.add(_recorded_updates(session, number, played, now.updates, criterion))
    scale = scale_of(session, played, now.record.scale)
    if scale is None:
        return f"recorded as {now.record.status}: {now.record.reason}"
    compare_merged(session, number, played, scale)
    return played.note


def _compare_recorded_frames(
    session: Session,
    number: int,
    selection: Selection,
    frames: tuple[Mapping[str, Frame], Mapping[str, Frame]],
    by: tuple[Criterion, Notes],
) -> None:
    """Frames on disk: against those of the truth's weights, or, where they hang on data, as far as they are defined."""
    (right, recorded), (criterion, notes), spec = frames, by, session.runners.truth.experiment.spec
    if not recorded:
        return
    heard = hear(session, number, selection) if hears(spec, number) else None
    if heard is not None:
        notes.add(number, heard.note)
        notes.add(number, other_sites(heard, recorded))
    if heard is None or not is_data_driven(spec):
        ours = {site: frame for site, frame in right.items() if heard is None or site in recorded}
        session.add(match_frames(session, number, "recorded frames", ours, recorded, criterion=criterion))
    elif isinstance(spec.objective, PolicyObjective):
        notes.add(number, UNKEPT)
    else:
        session.add(hold_recorded(session, number, heard, recorded, criterion))


def _recorded_updates(
    session: Session, number: int, played: Round, recorded: Mapping[str, Update], criterion: Criterion
) -> list[Finding]:
    """Updates on disk against the truth's; not where rounding puts even this replay elsewhere."""
    where = at(number, "recorded update", "every site")
    if not played.comparable:
        return [attrs.evolve(where, compared=0, undefined=len(recorded))]
    truth = played.traced["truth"].training.updates
    yardstick = played.traced.get("yardstick", played.traced["truth"]).training.updates
    return compare_updates(where, (truth, recorded), criterion, (truth, yardstick))


def _check_data(session: Session, directory: RunDirectory) -> None:
    """Refuse other data than the run was made with."""
    recorded = (directory.provenance() or {}).get("hashes", {}).get("data")
    if recorded is not None and recorded != data_sha256(session.runners.truth.experiment.splits):
        raise UsageError(
            f"{directory.path}: the task's data are no longer those of the run; put them back, or verify its spec"
        )
