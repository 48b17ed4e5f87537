"""The tuning at which each arm is reported, chosen on validation; the test split has no say in it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from ..judging import badness
from ..study.record import StudyRecord
from .reading import Reading
from .wording import count_text


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
        return Choice(arm=arm, block=block, tuning=only, readings=())
    shared = set.intersection(*({r.cell.seed for r in tuning} for tuning in finished))
    # Where the tunings share no seed, each is judged by its own: a worse comparison, but the only one there is.
    scores = [
        _score(study, [r for r in tuning if not shared or r.cell.seed in shared]) for tuning in finished
    ]
    best = finished[scores.index(min(scores))]
    note = "" if len(tunings) == 1 else _note(study, len(tunings), len(finished), len(shared))
    return Choice(arm=arm, block=block, tuning=dict(best[0].cell.tuning), readings=tuple(best), note=note)


def _finished(study: StudyRecord, tuning: Iterable[Reading]) -> list[Reading]:
    kept = [reading for reading in tuning if reading.finished]
    return sorted(kept, key=lambda reading: study.seeds.index(reading.cell.seed))


def _score(study: StudyRecord, readings: Sequence[Reading]) -> float:
    """Mean badness on validation; infinite where it is not a number, so that such a tuning is never chosen for that."""
    mean = sum(badness(r.record.validation, study.metric) for r in readings) / len(readings)
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
