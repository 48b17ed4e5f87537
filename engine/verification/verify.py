"""Verify a spec by running it, or a run by replaying it, with all models starting each round from the same state."""

from __future__ import annotations

from ..boosting.round_plan import RoundPlan
from ..errors import UsageError
from ..foundation.run_context import RunContext
from ..registry import Registry
from ..spec import Spec
from .criterion import Criterion, dtype_of
from .evaluation import compare_answers, compare_chosen
from .findings import CONVERGED, NOTHING_TO_REFIT, UNFINISHED, Notes, Verification
from .gradient_products import calibrate_frames
from .limits import Limits
from .models import open_models
from .recorded import Recording
from .replay import replay
from .round_end import compare_merged, compare_training, scale_of
from .round_start import compare_directions, frames_of_weights
from .session import Session, StoppedError


def verify(
    spec: Spec,
    registry: Registry,
    context: RunContext,
    limits: Limits | None = None,
    recording: Recording | None = None,
) -> Verification:
    """Verify the spec's backend against the reference, on the spec's rounds or on those of a recorded run.

    Raises `UsageError` for a spec that cannot be verified; errors of the candidate are findings, never exceptions.
    """
    limits = limits or Limits()
    inherited = _inherited(spec, limits, recording)
    criterion = Criterion(dtype=dtype_of(spec.backend))
    criteria = [criterion, *([recording.criterion] if recording else [])]
    runners = open_models(spec, registry, context, limits, criteria)
    session = Session(runners=runners, criterion=criterion, limits=limits, report=context.report)
    last = spec.rounds if limits.rounds is None else min(limits.rounds, spec.rounds)
    notes = Notes()
    if recording is None:
        rounds = _verify_rounds(session, last, notes)
    else:
        rounds = replay(session, range(inherited + 1, last + 1), recording, notes)
    name = f"{spec.slots['backend'].use} ({criterion.dtype})"
    return Verification(
        subject=spec.head.name if recording is None else str(recording.directory.path),
        candidate=name,
        criteria=tuple(dict.fromkeys(str(c) for c in criteria)),
        rounds=rounds,
        limits=limits.describe(),
        notes=(*_inherited_note(spec), *notes.lines()),
        findings=tuple(session.findings),
    )


def _inherited(spec: Spec, limits: Limits, recording: Recording | None) -> int:
    """The last round inherited from another run, which is not replayed; 0 if there is none. Raises `UsageError` if no round remains."""
    start = spec.start
    if not start.given:
        return 0
    if recording is None:
        raise UsageError(
            f"a spec that continues from {start} is verified through a run: boostlora run it, then boostlora verify that run"
        )
    if min(len(recording.directory.records) - 1, limits.rounds or spec.rounds) <= start.round:
        raise UsageError(
            f"{recording.directory.path}: its rounds up to {start.round} are those of {start.run}, and there is no later one to replay; "
            "verify that run"
        )
    return start.round


def _inherited_note(spec: Spec) -> tuple[str, ...]:
    start = spec.start
    if not start.given:
        return ()
    rounds = f"rounds 1 to {start.round} were" if start.round > 1 else f"round {start.round} was"
    return (f"{rounds} inherited from {start.run}: taken as recorded, not replayed",)


def _verify_rounds(session: Session, last: int, notes: Notes) -> int:
    """Verify the spec's rounds, each from the truth's ensemble. Returns their number."""
    truth = session.runners.truth
    for number in range(1, last + 1):
        plan = truth.plan(number)
        if plan.exceeds(truth.experiment.plan.capacity):
            notes.add(number - 1, "unused directions ran out after it")
            return number - 1
        try:
            note = _round(session, plan, notes)
        except StoppedError:
            notes.add(number, UNFINISHED)
            return number
        notes.add(number, note)
        if note is CONVERGED:
            return number - 1
    return last


def _round(session: Session, plan: RoundPlan, notes: Notes) -> str:
    """Verify one round of a spec; returns a note on it."""
    truth, number = session.runners.truth, plan.number
    session.synchronise(number)
    compare_directions(session, number)
    frames = frames_of_weights(session, plan)
    answers, theirs = compare_answers(session, number)
    truth.history.append(answers["train"].outcome)
    selection = compare_chosen(session, number, answers["train"], theirs["train"])
    if len(selection) == 0:
        return CONVERGED
    if plan.refit and not frames:
        return NOTHING_TO_REFIT
    if plan.calibration is not None:
        calibrated = calibrate_frames(session, plan, selection)
        notes.add(number, calibrated.note)
        frames = calibrated.frames
    training = compare_training(session, plan, selection, frames)
    scale = scale_of(session, training, None)
    if scale is None:
        return "the merge policy refused the update"
    compare_merged(session, number, training, scale)
    session.runners.remember(plan, training.traced["truth"].training.updates, scale)
    return training.note
