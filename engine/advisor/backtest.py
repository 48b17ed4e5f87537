"""What a look would have said of a study's arms, held against where they ended: its advice, and the ranking by energy alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from ..analysis.model import Analysis, CellView, Row
from ..errors import UsageError
from ..sdk.metrics import lower_is_better
from .arm_pairs import EndedArm, Judged, Kind, judge_advice
from .arm_ranking import WAYS, ArmEnergy, Verdict, judge
from .findings import Findings
from .rules import recommend

SampleGradient = Callable[[Path, bool], Findings]
"""Looks at the base model of a run's folder through the run's own spec: at the spec's own basis alone, or at every one."""


@attrs.frozen(kw_only=True)
class Place:
    """Where the arm that is as advised ended, in one block."""

    block: str
    looked: str
    """The arm through whose spec the advice was given: the baseline, if it has frames."""
    kind: Kind
    arms: tuple[str, ...]
    """The arms of that kind; several, where they differ in what is not judged."""
    placed: int | None
    """Of the best of them among all arms with frames, from 1; None where the study has none."""
    of: int
    best: str
    """Of these."""


@attrs.frozen(kw_only=True)
class Backtest:
    """A study against which looks were held."""

    study: str
    metric: str
    seed: int
    """Of the cells that were looked at."""
    seeds: int
    """How many the study has finished."""
    arms: tuple[ArmEnergy, ...]
    places: tuple[Place, ...]
    judged: tuple[Judged, ...]
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {**attrs.asdict(self), "judged": [judged.as_json() for judged in self.judged]}


def hold_against(analysis: Analysis, runs: Path, sample: SampleGradient) -> Backtest:
    """Look at every arm as its own run began, judge the advice, rank the arms. Raises `UsageError` for fewer than two with frames.

    The arms' bases, adapters, ranks and rounds come from the specs of their cells, at the tuning that the study reports; one cell an
    arm is looked at, all of the same seed where they share one.
    """
    study = analysis.study
    metric = f"{study.split}.{study.metric}"
    rows = [row for row in analysis.rows if row.cells and metric in row.metrics]
    if not rows:
        raise UsageError(f"{study.name}: no cell is finished; run them with: boostlora ablate")
    seed = _shared_seed(rows)
    cells = {cell.state.cell.key: cell for cell in analysis.cells}
    looked = [_Looked.at(row, cells[row.cells[_place(row, seed)]], runs, sample, metric) for row in rows]
    notes = [
        f"{row.arm}: seed {seed} is not finished; looked at seed {row.seeds[0]}"
        for row in rows
        if seed not in row.seeds
    ]
    unframed = list(dict.fromkeys(one.held.arm for one in looked if one.held.first is None))
    if unframed:
        notes.append(f"without frames or rounds, and so not judged: {', '.join(unframed)}")
    blocks = [
        [one for one in looked if one.held.block == block and one.framed]
        for block in dict.fromkeys(one.held.block for one in looked)
    ]
    blocks = [arms for arms in blocks if len(arms) >= 2]
    if not blocks:
        raise UsageError(
            f"{study.name}: fewer than two finished arms train inside frames; there is nothing to rank by directions"
        )
    lower = lower_is_better(study.metric)
    advice = [_advice(arms, sample, -1.0 if lower else 1.0) for arms in blocks]
    ranked = [judge([one.held for one in arms], by, lower=lower) for arms in blocks for by in WAYS]
    return Backtest(
        study=study.name,
        metric=metric,
        seed=seed,
        seeds=max(len(row.seeds) for row in rows),
        arms=tuple(one.held for one in looked),
        places=tuple(place for place, _ in advice),
        judged=tuple(judged for _, found in advice for judged in found),
        verdicts=tuple(ranked),
        notes=tuple(notes),
    )


@attrs.frozen(kw_only=True, eq=False)
class _Looked:
    """An arm with what was seen of it."""

    row: Row
    folder: Path
    kind: Kind
    held: ArmEnergy
    values: Mapping[int, float]
    """The metric by seed."""

    @property
    def framed(self) -> bool:
        return self.held.first is not None and math.isfinite(self.held.metric)

    @classmethod
    def at(cls, row: Row, cell: CellView, runs: Path, sample: SampleGradient, metric: str) -> _Looked:
        folder = runs / cell.state.cell.folder
        found = sample(folder, True)
        basis, core, value = found.bases[0], found.core, row.metrics[metric]
        seen = found.framed and found.rounds > 0
        held = ArmEnergy(
            arm=row.arm,
            block=row.block,
            basis=basis.name,
            adapter=found.adapter,
            rank=found.rank,
            rounds=found.rounds,
            sampler=found.sampler,
            refits=found.refit_every > 0,
            first=basis.first[core].held_out if seen else None,
            together=basis.together[core].held_out if seen else None,
            metric=value.mean,
        )
        values = dict(zip(row.seeds, value.values, strict=True))
        return cls(row=row, folder=folder, kind=Kind.of(found), held=held, values=values)


def _advice(arms: Sequence[_Looked], sample: SampleGradient, sign: float) -> tuple[Place, tuple[Judged, ...]]:
    """What is advised in one block through the spec of the baseline, or of the first arm that has frames; and what came of such arms."""
    through = next((one for one in arms if one.row.is_baseline), arms[0])
    found = sample(through.folder, False)
    kind, block = Kind.advised(found, recommend(found)), through.held.block
    ended = [
        EndedArm(arm=one.held.arm, kind=one.kind, values={s: sign * v for s, v in one.values.items()})
        for one in arms
    ]
    order = sorted(arms, key=lambda one: -sign * one.held.metric)
    alike = [number for number, one in enumerate(order, start=1) if one.kind == kind]
    place = Place(
        block=block,
        looked=through.held.arm,
        kind=kind,
        arms=tuple(order[number - 1].held.arm for number in alike),
        placed=alike[0] if alike else None,
        of=len(arms),
        best=order[0].held.arm,
    )
    return place, judge_advice(block, kind, ended)


def _shared_seed(rows: Sequence[Row]) -> int:
    """The first seed that most arms have finished."""
    seeds = [seed for row in rows for seed in row.seeds]
    return max(dict.fromkeys(seeds), key=seeds.count)


def _place(row: Row, seed: int) -> int:
    """Which of an arm's cells is looked at."""
    return row.seeds.index(seed) if seed in row.seeds else 0
