"""Verifies a spec by playing it, or a run by replaying it, round by round from one start."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ..boosting.encoding import SPLITS
from ..boosting.experiment import data_sha256
from ..contracts import PolicyObjective, Update
from ..errors import UsageError
from ..record.directory import RunDirectory
from ..registry import Registry
from ..spec import Spec
from ..workplace import Workplace
from .beginning import compare_directions, compare_round_frames, match_frames
from .bench import Bench, StoppedError, at
from .criterion import Criterion, dtype_of
from .ending import Round, compare_merged, compare_training, scale_of
from .findings import Finding, Verification
from .judging import compare_answers, compare_chosen, compare_recorded, read_answers
from .limits import Limits
from .recorded import RecordedRound, read_round
from .training import compare_updates
from .trio import open_trio


@attrs.frozen(kw_only=True)
class Recording:
    """A run to be replayed, and the precision it was made in."""

    directory: RunDirectory
    criterion: Criterion


def verify(
    spec: Spec,
    registry: Registry,
    workplace: Workplace,
    limits: Limits | None = None,
    recording: Recording | None = None,
) -> Verification:
    """Hold the spec's backend to the reference, on the spec's rounds or on a recorded run's.

    Raises `UsageError` for what cannot be verified; what the candidate does wrong is a finding, never an exception.
    """
    limits = limits or Limits()
    inherited = _inherited(spec, limits, recording)
    criterion = Criterion(dtype=dtype_of(spec["backend"]))
    criteria = [criterion, *([recording.criterion] if recording else [])]
    trio = open_trio(spec, registry, workplace, limits, criteria)
    bench = Bench(trio=trio, criterion=criterion, limits=limits, report=workplace.report)
    last = spec.rounds if limits.rounds is None else min(limits.rounds, spec.rounds)
    notes = Notes()
    if recording is None:
        rounds = _play(bench, last, notes)
    else:
        rounds = _replay(bench, range(inherited + 1, last + 1), recording, notes)
    name = f"{spec.slots['backend'].use} ({criterion.dtype})"
    return Verification(
        subject=spec.head.name if recording is None else str(recording.directory.path),
        candidate=name,
        criteria=tuple(dict.fromkeys(str(c) for c in criteria)),
        rounds=rounds,
        limits=limits.describe(),
        notes=(*_inherited_note(spec), *notes.lines()),
        findings=tuple(bench.findings),
    )


def _inherited(spec: Spec, limits: Limits, recording: Recording | None) -> int:
    """The last round that a run has from another, which is not replayed; 0: none. Raises `UsageError` where that leaves nothing."""
    start = spec.start
    if not start.given:
        return 0
    if recording is None:
        raise UsageError(
            f"a spec that goes on from {start} is verified by its run: boostlora run it, then boostlora verify that run"
        )
    if min(len(recording.directory.records) - 1, limits.rounds or spec.rounds) <= start.round:
        raise UsageError(
            f"{recording.directory.path}: its rounds up to {start.round} are those of {start.run}, and no later one is to be replayed; "
            "verify that run"
        )
    return start.round


def _inherited_note(spec: Spec) -> tuple[str, ...]:
    start = spec.start
    if not start.given:
        return ()
    rounds = f"rounds 1 to {start.round} were" if start.round > 1 else f"round {start.round} was"
    return (f"{rounds} inherited from {start.run}: taken as recorded, not replayed",)


CONVERGED = "the sampler chose no example: nothing is left to learn"
UNFINISHED = "the candidate could not finish it; no further round was compared"


class Notes:
    """What is to be said of rounds, each thing once."""

    def __init__(self) -> None:
        self._rounds = dict[str, list[int]]()

    def add(self, number: int, text: str) -> None:
        """Say it of a round; nothing is not said."""
        if text:
            self._rounds.setdefault(text, []).append(number)

    def lines(self) -> tuple[str, ...]:
        """`rounds 1, 2: …`."""
        return tuple(
            f"round{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}: {text}"
            for text, numbers in self._rounds.items()
        )


def _play(bench: Bench, last: int, notes: Notes) -> int:
    """The spec's rounds, every one from the truth's ensemble. Returns how many there were."""
    capacity = bench.trio.truth.experiment.plan.capacity
    for number in range(1, last + 1):
        if capacity is not None and number > capacity:
            notes.add(number - 1, "unused directions ran out after it")
            return number - 1
        try:
            note = _round(bench, number)
        except StoppedError:
            notes.add(number, UNFINISHED)
            return number
        notes.add(number, note)
        if note is CONVERGED:
            return number - 1
    return last


def _round(bench: Bench, number: int) -> str:
    """One round of a spec; returns what is to be said of it."""
    truth = bench.trio.truth
    bench.synchronise(number)
    compare_directions(bench, number)
    frames = compare_round_frames(bench, number)
    answers, theirs = compare_answers(bench, number)
    truth.history.append(answers["train"].outcome)
    selection = compare_chosen(bench, number, answers["train"], theirs["train"])
    if len(selection) == 0:
        return CONVERGED
    played = compare_training(bench, number, selection, frames)
    scale = scale_of(bench, played, None)
    if scale is None:
        return "the merge policy refused the update"
    compare_merged(bench, number, played, scale)
    bench.trio.remember(number, played.traced["truth"].training.updates, scale)
    return played.note


def _replay(bench: Bench, numbers: range, recording: Recording, notes: Notes) -> int:
    """The rounds of a run, every one from the recorded ensemble, in the recorded frames. Returns how many there were."""
    directory, trio = recording.directory, bench.trio
    _check_data(bench, directory)
    numbers = range(numbers.start, min(numbers.stop, len(directory.records)))
    for number in range(numbers.start):
        _take(bench, read_round(directory, number))
    for number in numbers:
        before, now = read_round(directory, number - 1), read_round(directory, number)
        try:
            own = number > numbers.start or not trio.truth.experiment.spec.start.given
            notes.add(number, _replay_round(bench, number, before if own else None, now, recording.criterion))
        except StoppedError:
            notes.add(number, UNFINISHED)
            return number - numbers.start + 1
        _take(bench, now)
    last = numbers.stop - 1
    bench.synchronise(last)
    truth = trio.truth.experiment
    answers = {split: read_answers(bench, split, truth.predict(split), role="truth") for split in SPLITS}
    final = read_round(directory, last)
    bench.add(compare_recorded(last, answers, final.outcomes, recording.criterion))
    return len(numbers)


def _take(bench: Bench, now: RecordedRound) -> None:
    """A round as it is recorded: part of the ensemble, and of what the sampler knows."""
    if now.updates is not None and now.record.scale != 0.0:
        bench.trio.remember(now.record.round, now.updates, now.record.scale)
    bench.trio.truth.history.append(now.outcomes["train"])


def _replay_round(
    bench: Bench, number: int, before: RecordedRound | None, now: RecordedRound, criterion: Criterion
) -> str:
    """One round of a run; returns what is to be said of it.

    `before` is None where the round before is another run's, which may have been made in another precision.
    """
    bench.synchronise(number)
    compare_directions(bench, number)
    right = compare_round_frames(bench, number)
    answers, theirs = compare_answers(bench, number)
    if before is not None:
        bench.add(compare_recorded(number - 1, answers, before.outcomes, criterion))
    if now.updates is None:
        return f"recorded as {now.record.status}; its training left nothing to compare"
    selection = compare_chosen(bench, number, answers["train"], theirs["train"])
    if isinstance(bench.trio.truth.experiment.spec["objective"], PolicyObjective) and now.rollouts is None:
        return "its answers were not kept (objective.keeps), so its training cannot be replayed"
    frames = now.frames if bench.trio.truth.experiment.spec["adapter"].framed else {}
    if frames:
        bench.add(match_frames(bench, number, "recorded frames", right, frames, criterion=criterion))
    played = compare_training(bench, number, selection, frames or {}, now.rollouts)
    bench.add(_recorded_updates(bench, number, played, now.updates, criterion))
    scale = scale_of(bench, played, now.record.scale)
    if scale is None:
        return f"recorded as {now.record.status}: {now.record.reason}"
    compare_merged(bench, number, played, scale)
    return played.note


def _recorded_updates(
    bench: Bench, number: int, played: Round, recorded: Mapping[str, Update], criterion: Criterion
) -> list[Finding]:
    """Updates on disk against the truth's; not where rounding puts even this replay elsewhere."""
    where = at(number, "recorded update", "every site")
    if not played.comparable:
        return [attrs.evolve(where, compared=0, undefined=len(recorded))]
    truth = played.traced["truth"].training.updates
    yardstick = played.traced.get("yardstick", played.traced["truth"]).training.updates
    return compare_updates(where, (truth, recorded), criterion, (truth, yardstick))


def _check_data(bench: Bench, directory: RunDirectory) -> None:
    """Refuse other data than the run was made with."""
    recorded = (directory.provenance() or {}).get("hashes", {}).get("data")
    if recorded is not None and recorded != data_sha256(bench.trio.truth.experiment.splits):
        raise UsageError(
            f"{directory.path}: the task's data are no longer those of the run; put them back, or verify its spec"
        )
