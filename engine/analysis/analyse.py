"""From a study's folders to its analysis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..contracts.records import RoundRecord
from ..errors import RunError
from ..statistics.examples import Answers
from ..study.record import Arm, StudyRecord
from .arm_tests import Pair, compare, pairs_of
from .curves import curves_of
from .model import Analysis, Comparison, Row, estimates
from .notes import notes_of
from .quantities import (
    effort,
    gained,
    lookup,
    lost,
    metrics_of_splits,
    parameters,
    seconds,
    shape_of,
    stored,
)
from .run_reader import CellRun, read_cells
from .tuning_choice import TuningChoice, choose


def analyse(runs: Path, study: StudyRecord, *, curves: bool = True) -> Analysis:
    """Analyse a study from the folder of all runs, including unfinished and failed cells; `curves` are for figures, and take time.

    A cell that is damaged counts as failed, with its cause. The same folders always give the same analysis.
    """
    cell_runs = read_cells(runs, study)
    cell_runs, choices, pairs, answers = _paired(study, cell_runs)
    comparisons = compare(study, pairs, answers)
    tunings = {(choice.block, choice.arm): choice.tuning for choice in choices}
    return Analysis(
        study=study,
        rows=tuple(row_of(study, choice, comparisons.get((choice.block, choice.arm))) for choice in choices),
        curves=tuple(curve for choice in choices if curves for curve in curves_of(study, choice)),
        cells=tuple(
            run.view(selected=run.cell.tuning == tunings.get((run.cell.block, run.cell.arm)))
            for run in cell_runs
        ),
        notes=notes_of(study, cell_runs, choices, comparisons),
        candidates=tuple(candidate for choice in choices for candidate in choice.candidates),
    )


def _paired(
    study: StudyRecord, cell_runs: list[CellRun]
) -> tuple[list[CellRun], list[TuningChoice], list[Pair], dict[str, Answers]]:
    """Choose tunings and pair arms with their baseline; load the outcomes of the pairs.

    No other outcomes are read, since their files are most of a study's bytes. A damaged file turns its cell into a failed
    one. Another tuning may then be best, so the choice is repeated, at most once per cell.
    """
    answers = dict[str, Answers]()
    while True:
        choices = choose(study, cell_runs)
        pairs = pairs_of(study, choices)
        damaged = dict[str, str]()
        for run in (r for pair in pairs for r in (*pair.arm, *pair.baseline)):
            key = run.cell.key
            if key not in answers and key not in damaged:
                try:
                    answers[key] = run.answers(study.split)
                except RunError as error:
                    damaged[key] = str(error)
        if not damaged:
            return cell_runs, choices, pairs, answers
        cell_runs = [r.damaged(damaged[r.cell.key]) if r.cell.key in damaged else r for r in cell_runs]


def row_of(study: StudyRecord, choice: TuningChoice, comparison: Comparison | None) -> Row:
    """The row of an arm at its chosen tuning; without finished seeds it has no metrics."""
    arm = next(arm for arm in study.arms if arm.label == choice.arm)
    return Row(
        arm=choice.arm,
        block=choice.block,
        is_baseline=choice.arm == study.baseline,
        values=_values(arm, choice.cell_runs),
        tuned=choice.tuning,
        seeds=choice.seeds,
        missing=tuple(seed for seed in study.seeds if seed not in choice.seeds),
        cells=tuple(run.cell.key for run in choice.cell_runs),
        metrics=estimates([cell_metrics(run) for run in choice.cell_runs], study.confidence),
        comparison=comparison,
    )


def cell_metrics(run: CellRun) -> dict[str, float]:
    """Metrics of a finished cell by name.

    Those of the splits, `rank`, `parameters`, `stored`, `rounds`, `steps`, `examples`, `lost` and `gained` describe the counted
    model and the rounds up to it; `seconds` and `memory_bytes` describe the whole run.
    """
    base, record, counted = run.records[0], run.record, run.records[: run.counted + 1]
    found = metrics_of_splits(record)
    found |= {f"base.{name}": value for name, value in metrics_of_splits(base).items()}
    found |= shape_of(record)
    found |= {"parameters": float(parameters(counted)), "stored": float(stored(counted))}
    found |= {"rounds": float(run.counted)}
    found |= {name: float(count) for name, count in effort(run.spec, run.counted).items()}
    shares = {"lost": lost(counted), "gained": gained(counted)}
    found |= {name: share for name, share in shares.items() if share is not None}
    found["seconds"] = sum(seconds(r) for r in run.records)
    return found | _memory(run.records)


def _memory(records: Sequence[RoundRecord]) -> dict[str, float]:
    peak = max(record.memory_bytes for record in records)
    return {"memory_bytes": float(peak)} if peak else {}


def _values(arm: Arm, cell_runs: Sequence[CellRun]) -> dict[str, Any]:
    """The arm's keys; solved ones from this block's cells, since the solution may differ between blocks."""
    spec = cell_runs[0].spec if cell_runs else {}
    solved = {key: lookup(spec, key) for key in arm.solved}
    return arm.values | {key: arm.solved[key] if value is None else value for key, value in solved.items()}
