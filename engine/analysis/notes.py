"""Caveats of a study: missing cells, corrections for multiple tests, limits of too few seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ..foundation.counts import count_text
from ..statistics.bootstrap import MIN_VALUES
from ..statistics.permutation import pairs_needed
from ..study.record import StudyRecord, setting_text
from ..study.states import Status
from .formats import p_text
from .model import Comparison
from .quantities import metrics_of_splits
from .run_reader import CellRun
from .tuning_choice import TuningChoice

MAX_LISTED = 5
"""Maximum number of cells or causes that are listed; the rest are counted."""


def notes_of(
    study: StudyRecord,
    cell_runs: Sequence[CellRun],
    choices: Sequence[TuningChoice],
    comparisons: Mapping[tuple[str, str], Comparison],
) -> tuple[str, ...]:
    """All notes, the most serious first."""
    return tuple(
        note
        for note in (
            *_failed(cell_runs),
            *_unfinished(cell_runs),
            *_excluded(cell_runs),
            *_empty(study, choices),
            *_unmeasured(study, cell_runs),
            *_choosing(study, choices),
            *_edges(study, choices),
            *_stopped(cell_runs),
            *_split(study),
            *_tests(study, comparisons),
            *_narrow(choices),
        )
        if note
    )


def _failed(cell_runs: Sequence[CellRun]) -> Iterable[str]:
    """The number of failed cells, and the cells of each cause."""
    failed = [run for run in cell_runs if run.state.status == "failed"]
    if not failed:
        return
    yield f"{len(failed)} of {count_text(len(cell_runs), 'cell')} failed and are left out everywhere"
    causes: dict[str, list[str]] = {}
    for run in failed:
        causes.setdefault(run.state.cause or "no cause recorded", []).append(run.cell.label)
    for cause, labels in list(causes.items())[:MAX_LISTED]:
        yield f"failed: {_named(labels)}: {cause}"
    if len(causes) > MAX_LISTED:
        yield f"failed for {count_text(len(causes) - MAX_LISTED, 'other cause')}: see the cells"


def _unfinished(cell_runs: Sequence[CellRun]) -> Iterable[str]:
    statuses: tuple[Status, ...] = ("running", "interrupted", "pending")
    found = Counter(run.state.status for run in cell_runs)
    parts = [f"{found[status]} {status}" for status in statuses if found[status]]
    if parts:
        total = sum(found[status] for status in statuses)
        verb = "is" if total == 1 else "are"
        yield (
            f"{total} of {count_text(len(cell_runs), 'cell')} {verb} not finished ({', '.join(parts)}): "
            "the results use the others, and may change"
        )


def _excluded(cell_runs: Sequence[CellRun]) -> Iterable[str]:
    labels = [run.cell.label for run in cell_runs if run.state.status == "excluded"]
    if labels:
        yield f"{count_text(len(labels), 'cell')} excluded by hand: {_named(labels)}"


def _empty(study: StudyRecord, choices: Sequence[TuningChoice]) -> Iterable[str]:
    """Arms without a finished seed, and arms that share only some seeds, or none, with the baseline."""
    labels = [_label(choice) for choice in choices if not choice.seeds]
    if labels:
        yield f"without any finished seed: {_named(labels)}"
    theirs = {choice.block: set(choice.seeds) for choice in choices if choice.arm == study.baseline}
    for choice in choices:
        seeds, shared = set(choice.seeds), theirs.get(choice.block, set())
        if choice.arm == study.baseline or not seeds or not shared or seeds == shared:
            continue
        both = seeds & shared
        if both:
            yield f"{_label(choice)}: compared in {count_text(len(both), 'seed')} that it shares with the baseline"
        else:
            yield f"{_label(choice)}: not compared, since it shares no finished seed with the baseline"


def _unmeasured(study: StudyRecord, cell_runs: Sequence[CellRun]) -> Iterable[str]:
    """Cells that lack the study's metric."""
    finished = [run for run in cell_runs if run.finished]
    known = [metrics_of_splits(run.record) for run in finished]
    name = f"{study.split}.{study.metric}"
    without = [r.cell.label for r, metrics in zip(finished, known, strict=True) if name not in metrics]
    if without:
        there = [n.removeprefix(f"{study.split}.") for n in dict.fromkeys(n for m in known for n in m)]
        yield (
            f"no {study.metric} of the {study.split} split in {count_text(len(without), 'cell')} ({_named(without)}); "
            f"metrics are: {', '.join(n for n in there if '.' not in n)}"
        )


def _choosing(study: StudyRecord, choices: Sequence[TuningChoice]) -> Iterable[str]:
    keys = sorted({key.rpartition(".")[2] for cell in study.cells for key in cell.tuning})
    if keys:
        yield (
            f"{', '.join(keys)} of each arm chosen by mean validation {study.metric}; "
            "tuning never uses the test split"
        )
    for choice in choices:
        if choice.note:
            yield f"{_label(choice)}: {choice.note}"


def _edges(study: StudyRecord, choices: Sequence[TuningChoice]) -> Iterable[str]:
    """Chosen values at the edge of their grid."""
    for choice in choices:
        for key, value in choice.tuning.items():
            tried = {
                cell.tuning[key]
                for cell in study.cells
                if (cell.arm, cell.block) == (choice.arm, choice.block) and key in cell.tuning
            }
            numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in tried)
            if numbers and len(tried) > 1 and value in {min(tried), max(tried)}:
                end = "smallest" if value == min(tried) else "largest"
                yield (
                    f"{_label(choice)}: {key.rpartition('.')[2]}={setting_text(value)} is the {end} value tried; "
                    "a value beyond it may be better"
                )


def _stopped(cell_runs: Sequence[CellRun]) -> Iterable[str]:
    early = [r for r in cell_runs if r.finished and len(r.records) - 1 < r.cell.rounds]
    if early:
        runs = count_text(len(early), "run")
        yield f"{runs} stopped before the last round: curves carry its last value forward"


def _split(study: StudyRecord) -> Iterable[str]:
    if study.at == "best":
        yield "every run is evaluated at the round that is best on validation"
    if study.split == "train":
        yield "compared on the training examples: this measures fit, not generalisation"
    elif study.split == "validation" and (study.at == "best" or any(cell.tuning for cell in study.cells)):
        yield "compared on validation, on which the choice was made as well: the results are optimistic"


def _tests(study: StudyRecord, comparisons: Mapping[tuple[str, str], Comparison]) -> Iterable[str]:
    tested = [c for c in comparisons.values() if c.p is not None]
    if not tested:
        return
    if len(tested) > 1:
        yield f"p-values are corrected (Holm) for {len(tested)} comparisons"
    few = [c for c in tested if c.verdict == "too few seeds"]
    if few:
        least = p_text(max(c.smallest_p or 0.0 for c in few))
        seeds = count_text(min(len(c.seeds) for c in few), "seed")
        needed = pairs_needed(1.0 - study.confidence, len(tested))
        yield (
            f"{seeds} cannot bring p below {least} for {count_text(len(tested), 'comparison')}, "
            f"however large the differences; {needed} seeds could bring it to {1.0 - study.confidence:.2g} or less"
        )


def _narrow(choices: Sequence[TuningChoice]) -> Iterable[str]:
    counts = [len(choice.seeds) for choice in choices if len(choice.seeds) > 1]
    if counts and min(counts) < MIN_VALUES:
        yield (
            f"bootstrap intervals over fewer than {MIN_VALUES} seeds are too narrow (with 5 seeds, for example, a nominal "
            "95 % interval covers about 84 %); the p-values do not depend on them"
        )


def _label(choice: TuningChoice) -> str:
    return f"{choice.arm} · {choice.block}" if choice.block else choice.arm


def _named(labels: Sequence[str]) -> str:
    more = len(labels) - MAX_LISTED
    return ", ".join(labels[:MAX_LISTED]) + (f" and {more} more" if more > 0 else "")
