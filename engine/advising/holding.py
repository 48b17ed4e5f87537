"""What a look would have ranked first, held against what a finished study found best."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs

from ..analysis.model import Analysis, CellView, Row
from ..errors import UsageError
from ..measures import lower_is_better
from .findings import Findings

By = Literal["first", "together"]
WORDS: Mapping[By, str] = {"first": "the next round alone", "together": "all rounds together"}

LookAt = Callable[[Path], Findings]
"""Looks at the base model of a run's folder through the run's own spec."""


@attrs.frozen(kw_only=True)
class ArmHeld:
    """One arm: what a look says of it, and what became of it."""

    arm: str
    block: str
    basis: str
    adapter: str
    rank: int
    rounds: int
    first: float | None
    """Held-out share that the first round captures with the arm's own core; None where the adapter has no frame."""
    together: float | None
    """All its rounds together."""
    metric: float
    """The study's metric, mean over seeds."""


@attrs.frozen(kw_only=True)
class Verdict:
    """One way of ranking, in one block."""

    block: str
    by: By
    picked: str
    best: str
    hit: bool
    """Whether the arm that ranks first is the study's best, or one that has the same metric."""
    lost: float
    """The best arm's metric less the picked one's, in the metric's own unit; positive where the pick is worse."""
    spearman: float | None
    """Rank correlation of captured energy with the metric (its sign turned where lower is better); None below three arms or on ties."""
    arms: int


@attrs.frozen(kw_only=True)
class Held:
    """A study against which looks were held."""

    study: str
    metric: str
    seed: int
    """Of the cells that were looked at."""
    arms: tuple[ArmHeld, ...]
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return attrs.asdict(self)


def hold_against(analysis: Analysis, runs: Path, look: LookAt) -> Held:
    """Look at every arm as its own run began, and rank the arms by what they capture. Raises `UsageError` for fewer than two arms.

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
    arms, notes = list[ArmHeld](), list[str]()
    for row in rows:
        place = row.seeds.index(seed) if seed in row.seeds else 0
        arms.append(_arm(row, cells[row.cells[place]], runs, look, row.metrics[metric].mean))
        if seed not in row.seeds:
            notes.append(f"{row.arm}: seed {seed} is not finished; looked at seed {row.seeds[0]}")
    unframed = sorted({arm.arm for arm in arms if arm.first is None})
    if unframed:
        notes.append(f"not ranked, having no frame: {', '.join(unframed)}")
    blocks = list(dict.fromkeys(arm.block for arm in arms))
    ways: tuple[By, ...] = ("first", "together")
    lower = lower_is_better(study.metric)
    found = [
        verdict
        for block in blocks
        for by in ways
        if (verdict := judge([arm for arm in arms if arm.block == block], by, block, lower=lower))
    ]
    if not found:
        raise UsageError(
            f"{study.name}: fewer than two finished arms train inside frames; there is nothing to rank by directions"
        )
    return Held(
        study=study.name,
        metric=metric,
        seed=seed,
        arms=tuple(arms),
        verdicts=tuple(found),
        notes=tuple(notes),
    )


def judge(arms: Sequence[ArmHeld], by: By, block: str, *, lower: bool) -> Verdict | None:
    """Rank the arms that have frames; None where that leaves fewer than two."""
    ranked = [
        (value, arm) for arm in arms if (value := getattr(arm, by)) is not None and math.isfinite(arm.metric)
    ]
    if len(ranked) < 2:
        return None
    sign = -1.0 if lower else 1.0
    best = max(ranked, key=lambda pair: sign * pair[1].metric)[1]
    picked = max(ranked, key=lambda pair: pair[0])[1]
    return Verdict(
        block=block,
        by=by,
        picked=picked.arm,
        best=best.arm,
        hit=picked.metric == best.metric,
        lost=sign * (best.metric - picked.metric),
        spearman=_spearman([value for value, _ in ranked], [sign * arm.metric for _, arm in ranked]),
        arms=len(ranked),
    )


def _spearman(captured: Sequence[float], metric: Sequence[float]) -> float | None:
    from scipy.stats import spearmanr  # noqa: PLC0415 - heavy, and needed here alone

    if len(captured) < 3 or len(set(captured)) < 2 or len(set(metric)) < 2:
        return None
    coefficient: Any = spearmanr(captured, metric)
    return float(coefficient.statistic)


def _shared_seed(rows: Sequence[Row]) -> int:
    """The first seed that most arms have finished."""
    seeds = [seed for row in rows for seed in row.seeds]
    return max(dict.fromkeys(seeds), key=seeds.count)


def _arm(row: Row, cell: CellView, runs: Path, look: LookAt, metric: float) -> ArmHeld:
    found = look(runs / cell.state.cell.folder)
    basis, core = found.bases[0], found.core
    return ArmHeld(
        arm=row.arm,
        block=row.block,
        basis=basis.name,
        adapter=found.adapter,
        rank=found.rank,
        rounds=found.rounds,
        first=basis.first[core].held_out if found.framed else None,
        together=basis.together[core].held_out if found.framed else None,
        metric=metric,
    )
