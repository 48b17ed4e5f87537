"""The tuning at which each arm is reported, chosen on validation; the test split has no say in it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import attrs

from ..sdk.metrics import badness_of
from ..study.record import CellRecord, StudyRecord
from .estimates import estimates
from .formats import count_text
from .model import Candidate
from .quantities import metrics_of_splits
from .run_reader import Reading


@attrs.frozen(kw_only=True, eq=False)
class Choice:
    """An arm in a block, at one tuning."""

    arm: str
    block: str
    tuning: dict[str, Any]
    """Empty where nothing is tuned, or no tuning is finished yet."""
    readings: tuple[Reading, ...]
    """Its finished cells, in the order of the study's seeds."""
    note: str = ""
    """What is to be said of the choice."""
    candidates: tuple[Candidate, ...] = ()
    """All tunings among which it was chosen, in the study's order; empty where nothing is tuned."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """The finished seeds."""
        return tuple(reading.cell.seed for reading in self.readings)

    def by_seed(self) -> dict[int, Reading]:
        """The finished cells by seed."""
        return {reading.cell.seed: reading for reading in self.readings}


def choose(study: StudyRecord, readings: Iterable[Reading]) -> list[Choice]:
    """One choice for every block and arm, block by block, in the study's order.

    Chosen is the tuning whose mean validation metric at the counted round is best over the seeds that all tunings have
    finished; the earliest in the study's order on ties. A tuning that no seed has finished is out of the running.
    """
    groups: dict[tuple[str, str], dict[str, list[Reading]]] = {}
    for reading in readings:
        cell = reading.cell
        tunings = groups.setdefault((cell.block, cell.arm), {})
        tunings.setdefault(json.dumps(cell.tuning, sort_keys=True), []).append(reading)
    return [
        _choice(study, arm.label, block.label, list(groups.get((block.label, arm.label), {}).values()))
        for block in study.blocks
        for arm in study.arms
    ]


def _choice(study: StudyRecord, arm: str, block: str, tunings: Sequence[Sequence[Reading]]) -> Choice:
    finished = [kept for kept in (_finished(study, tuning) for tuning in tunings) if kept]
    if not finished:
        only = dict(tunings[0][0].cell.tuning) if len(tunings) == 1 else {}
        candidates = _candidates(study, tunings, frozenset(), only)
        return Choice(arm=arm, block=block, tuning=only, readings=(), candidates=candidates)
    shared = set.intersection(*({r.cell.seed for r in tuning} for tuning in finished))
    scores = [_score(study, _judged(tuning, shared)) for tuning in finished]
    best = finished[scores.index(min(scores))]
    chosen = dict(best[0].cell.tuning)
    return Choice(
        arm=arm,
        block=block,
        tuning=chosen,
        readings=tuple(best),
        note="" if len(tunings) == 1 else _note(study, len(tunings), len(finished), len(shared)),
        candidates=_candidates(study, tunings, shared, chosen),
    )


def _candidates(
    study: StudyRecord, tunings: Sequence[Sequence[Reading]], shared: AbstractSet[int], chosen: dict[str, Any]
) -> tuple[Candidate, ...]:
    """Every tuning with what it was judged by; none where nothing is tuned."""
    return tuple(
        _candidate(study, tuning[0].cell, _judged(_finished(study, tuning), shared), chosen)
        for tuning in tunings
        if tuning[0].cell.tuning
    )


def _candidate(
    study: StudyRecord, cell: CellRecord, judged: Sequence[Reading], chosen: dict[str, Any]
) -> Candidate:
    found = [metrics_of_splits(reading.record) for reading in judged]
    name = f"validation.{study.metric}"
    metrics = [{name: split[name]} if name in split else dict[str, float]() for split in found]
    return Candidate(
        arm=cell.arm,
        block=cell.block,
        tuning=dict(cell.tuning),
        validation=estimates(metrics, study.confidence).get(name),
        seeds=tuple(reading.cell.seed for reading in judged),
        chosen=cell.tuning == chosen,
    )


def _judged(finished: Sequence[Reading], shared: AbstractSet[int]) -> list[Reading]:
    """The cells by which a tuning is judged: those of the seeds that all tunings have finished.

    Where the tunings share no seed, each is judged by its own: a worse comparison, but the only one there is.
    """
    return [reading for reading in finished if not shared or reading.cell.seed in shared]


def _finished(study: StudyRecord, tuning: Iterable[Reading]) -> list[Reading]:
    kept = [reading for reading in tuning if reading.finished]
    return sorted(kept, key=lambda reading: study.seeds.index(reading.cell.seed))


def _score(study: StudyRecord, readings: Sequence[Reading]) -> float:
    """Mean badness on validation; infinite where it is not a number, so that such a tuning is never chosen for that."""
    mean = sum(badness_of(r.record.validation, study.metric) for r in readings) / len(readings)
    return mean if mean == mean else float("inf")  # noqa: PLR0124 - NaN is what does not equal itself


def _note(study: StudyRecord, tunings: int, finished: int, shared: int) -> str:
    """What keeps the choice from resting on all tunings and all seeds; empty where nothing does."""
    parts = list[str]()
    if finished < tunings:
        parts.append(f"{tunings - finished} of {count_text(tunings, 'tuning')} finished no seed")
    if finished > 1 and shared == 0:
        parts.append("the finished tunings share no seed, so each was judged by its own")
    elif finished > 1 and shared < len(study.seeds):
        parts.append(
            f"chosen over {shared} of {count_text(len(study.seeds), 'seed')}, which all have finished"
        )
    return "; ".join(parts)
