"""The tuning at which each arm is reported, chosen on validation; the test split is never used."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import attrs

from ..foundation.counts import count_text
from ..sdk.metrics import cost
from ..study.record import CellRecord, StudyRecord
from .model import Candidate, estimates
from .quantities import metrics_of_splits
from .run_reader import CellRun


@attrs.frozen(kw_only=True, eq=False)
class TuningChoice:
    """An arm in a block, at its chosen tuning."""

    arm: str
    block: str
    tuning: dict[str, Any]
    """Empty if nothing is tuned, or no tuning has finished."""
    cell_runs: tuple[CellRun, ...]
    """Its finished cells, in the order of the study's seeds."""
    note: str = ""
    """Caveats of the choice."""
    candidates: tuple[Candidate, ...] = ()
    """All tunings that were compared, in the study's order; empty if nothing is tuned."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """The finished seeds."""
        return tuple(run.cell.seed for run in self.cell_runs)

    def by_seed(self) -> dict[int, CellRun]:
        """The finished cells by seed."""
        return {run.cell.seed: run for run in self.cell_runs}


def choose(study: StudyRecord, cell_runs: Iterable[CellRun]) -> list[TuningChoice]:
    """Choose a tuning for every block and arm, block by block, in the study's order.

    The chosen tuning has the best mean validation metric at the counted round, over the seeds that all tunings have
    finished; ties go to the first in the study's order. A tuning without a finished seed is skipped.
    """
    groups: dict[tuple[str, str], dict[str, list[CellRun]]] = {}
    for run in cell_runs:
        cell = run.cell
        tunings = groups.setdefault((cell.block, cell.arm), {})
        tunings.setdefault(json.dumps(cell.tuning, sort_keys=True), []).append(run)
    return [
        _choice(study, arm.label, block.label, list(groups.get((block.label, arm.label), {}).values()))
        for block in study.blocks
        for arm in study.arms
    ]


def _choice(study: StudyRecord, arm: str, block: str, tunings: Sequence[Sequence[CellRun]]) -> TuningChoice:
    finished = [kept for kept in (_finished(study, tuning) for tuning in tunings) if kept]
    if not finished:
        only = dict(tunings[0][0].cell.tuning) if len(tunings) == 1 else {}
        candidates = _candidates(study, tunings, frozenset(), only)
        return TuningChoice(arm=arm, block=block, tuning=only, cell_runs=(), candidates=candidates)
    shared = set.intersection(*({r.cell.seed for r in tuning} for tuning in finished))
    scores = [_score(study, _judged(tuning, shared)) for tuning in finished]
    best = finished[scores.index(min(scores))]
    chosen = dict(best[0].cell.tuning)
    return TuningChoice(
        arm=arm,
        block=block,
        tuning=chosen,
        cell_runs=tuple(best),
        note="" if len(tunings) == 1 else _note(study, len(tunings), len(finished), len(shared)),
        candidates=_candidates(study, tunings, shared, chosen),
    )


def _candidates(
    study: StudyRecord, tunings: Sequence[Sequence[CellRun]], shared: AbstractSet[int], chosen: dict[str, Any]
) -> tuple[Candidate, ...]:
    """Every tuning with its validation score; empty if nothing is tuned."""
    return tuple(
        _candidate(study, tuning[0].cell, _judged(_finished(study, tuning), shared), chosen)
        for tuning in tunings
        if tuning[0].cell.tuning
    )


def _candidate(
    study: StudyRecord, cell: CellRecord, judged: Sequence[CellRun], chosen: dict[str, Any]
) -> Candidate:
    found = [metrics_of_splits(run.record) for run in judged]
    name = f"validation.{study.metric}"
    metrics = [{name: split[name]} if name in split else dict[str, float]() for split in found]
    return Candidate(
        arm=cell.arm,
        block=cell.block,
        tuning=dict(cell.tuning),
        validation=estimates(metrics, study.confidence).get(name),
        seeds=tuple(run.cell.seed for run in judged),
        chosen=cell.tuning == chosen,
    )


def _judged(finished: Sequence[CellRun], shared: AbstractSet[int]) -> list[CellRun]:
    """The cells that score a tuning: those of the seeds that all tunings have finished.

    If the tunings share no seed, each is scored on its own seeds: a weaker comparison, but the only one available.
    """
    return [run for run in finished if not shared or run.cell.seed in shared]


def _finished(study: StudyRecord, tuning: Iterable[CellRun]) -> list[CellRun]:
    kept = [run for run in tuning if run.finished]
    return sorted(kept, key=lambda run: study.seeds.index(run.cell.seed))


def _score(study: StudyRecord, cell_runs: Sequence[CellRun]) -> float:
    """Mean cost on validation (lower is better); NaN counts as infinite, so that such a tuning is never preferred."""
    mean = sum(cost(r.record.validation, study.metric) for r in cell_runs) / len(cell_runs)
    return mean if mean == mean else float("inf")  # noqa: PLR0124 - NaN is what does not equal itself


def _note(study: StudyRecord, tunings: int, finished: int, shared: int) -> str:
    """Why the choice does not use all tunings or all seeds; empty if it does."""
    parts = list[str]()
    if finished < tunings:
        parts.append(f"{tunings - finished} of {count_text(tunings, 'tuning')} finished no seed")
    if finished > 1 and shared == 0:
        parts.append("the finished tunings share no seed, so each was scored on its own seeds")
    elif finished > 1 and shared < len(study.seeds):
        parts.append(
            f"chosen over {shared} of {count_text(len(study.seeds), 'seed')}, those that all tunings have finished"
        )
    return "; ".join(parts)
