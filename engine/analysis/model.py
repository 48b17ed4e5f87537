"""The result of an analysis: rows of a table, curves of a figure, single cells. Reports render it and compute nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs
import numpy as np

from ..contracts.records import RoundRecord
from ..statistics.bootstrap import bca_many
from ..study.record import StudyRecord
from ..study.states import CellState

Axis = Literal["round", "rank", "parameters", "steps", "seconds"]
Verdict = Literal["better", "worse", "unclear", "too few seeds", "one seed"]


@attrs.frozen(kw_only=True)
class Estimate:
    """A mean over seeds with its BCa bootstrap interval."""

    mean: float
    low: float | None
    """None if there are too few seeds for an interval."""
    high: float | None
    values: tuple[float, ...]
    """By seed, in the order of the row's seeds."""


@attrs.frozen(kw_only=True)
class ExampleComparison:
    """Two arms on the same examples of the compared split, over all paired seeds."""

    only_arm: int
    """Pairs of example and seed that only the arm gets right."""
    only_baseline: int
    both: int
    neither: int
    p: float | None
    """One seed: exact McNemar. Several: a sign-flip permutation test over examples, with all seeds of an example as one unit."""
    test: Literal["mcnemar", "permutation"]
    low: float | None
    """Interval of the difference in accuracy, from resampling examples."""
    high: float | None


@attrs.frozen(kw_only=True)
class Comparison:
    """An arm against the baseline of its block, paired by seed and by example."""

    seeds: tuple[int, ...]
    """Seeds that both have finished."""
    difference: Estimate
    """Arm minus baseline in the study's metric, by seed: a share for accuracy, nats for loss, the task's own unit for a measure."""
    relative: float | None
    """The mean difference divided by the absolute mean of the baseline; None if that is 0."""
    wins: int
    """Seeds in which the arm is better (a higher accuracy or measure, a lower loss)."""
    p: float | None
    """Two-sided paired permutation test over seeds; None with one seed."""
    p_holm: float | None
    """After Holm's correction over all comparisons of the study."""
    smallest_p: float | None
    """The smallest corrected p that so many seeds can reach."""
    examples: ExampleComparison | None
    """None if the outcomes have no examples in common."""
    verdict: Verdict
    words: str
    """The verdict as a sentence."""


@attrs.frozen(kw_only=True)
class Row:
    """An arm in a block, at the tuning that is best on validation."""

    arm: str
    block: str
    is_baseline: bool
    values: dict[str, Any]
    """The keys that define the arm, with solved values."""
    tuned: dict[str, Any]
    """The chosen values of tuned keys."""
    seeds: tuple[int, ...]
    """Finished seeds."""
    missing: tuple[int, ...]
    """Seeds without a finished cell: pending, running, failed or excluded."""
    cells: tuple[str, ...]
    """Keys of its cells, in the order of `seeds`."""
    metrics: dict[str, Estimate]
    """`test.accuracy`, `test.loss`, `validation.accuracy`, …, the task's own measures (`test.auroc`, …), the same of the base
    (`base.test.accuracy`, …), `rank`, `effective_rank`, `overlap`,
    `parameters` (trained in all merged rounds), `stored` (parameters needed to rebuild the model from its base), `rounds`, `steps`,
    `examples` (drawn into batches), `lost` (the share of training examples right before a round that are wrong after it, over all
    rounds), `gained`, `seconds`, `memory_bytes`. Metrics that some cell lacks are absent."""
    comparison: Comparison | None
    """None for the baseline, and for an arm without a pair."""


@attrs.frozen(kw_only=True)
class Candidate:
    """An arm in a block at one tuning, with its score on validation only."""

    arm: str
    block: str
    tuning: dict[str, Any]
    """The values of the tuned keys."""
    validation: Estimate | None
    """The study's metric on validation at the counted round, over `seeds`; None if none has finished. There is no
    test metric here, so that nobody tunes on the test split."""
    seeds: tuple[int, ...]
    """The seeds that score it: those finished at every tuning of the arm that finished any, or its own if there are none."""
    chosen: bool
    """Whether the arm is reported at this tuning."""


@attrs.frozen(kw_only=True)
class Curve:
    """A quantity after every round, mean over the seeds of a row with a bootstrap band."""

    arm: str
    block: str
    quantity: str
    """`test.accuracy`, `test.loss`, `validation.accuracy`, `validation.loss`, `train.accuracy`, …, measures of the
    task (`test.auroc`, …), `rank`, `effective_rank`, `overlap`, `lost`, `failures`, …"""
    x: dict[Axis, tuple[float, ...]]
    """Mean over seeds at every round: the round, and cumulative rank, trained parameters, optimiser steps (from the spec;
    absent if it names none) and seconds."""
    mean: tuple[float, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]


@attrs.frozen(kw_only=True, eq=False)
class CellView:
    """One cell in detail."""

    state: CellState
    selected: bool
    """Whether its row reports this tuning."""
    records: tuple[RoundRecord, ...]
    spec: dict[str, Any]
    provenance: dict[str, Any]
    result: dict[str, Any] | None


@attrs.frozen(kw_only=True, eq=False)
class Analysis:
    """A whole study, analysed."""

    study: StudyRecord
    rows: tuple[Row, ...]
    """Block by block, arms in the study's order."""
    curves: tuple[Curve, ...]
    cells: tuple[CellView, ...]
    notes: tuple[str, ...]
    """Caveats: failed and missing cells, too few seeds, the number of corrected comparisons."""
    candidates: tuple[Candidate, ...] = ()
    """The tunings of every arm, block by block, in the study's order; empty if nothing is tuned."""


def estimates(cells: Sequence[Mapping[str, float]], confidence: float) -> dict[str, Estimate]:
    """Mean and BCa interval of every metric that all cells have.

    A metric that some cell lacks is omitted: its mean would be over other seeds than the row's other means.
    """
    if not cells:
        return {}
    names = [name for name in cells[0] if all(name in cell for cell in cells)]
    columns = [tuple(float(cell[name]) for cell in cells) for name in names]
    intervals = bca_many(np.array(columns, dtype=np.float64).reshape(len(names), len(cells)), confidence)
    return {
        name: Estimate(
            mean=float(np.mean(values)),
            low=None if interval is None else interval[0],
            high=None if interval is None else interval[1],
            values=values,
        )
        for name, values, interval in zip(names, columns, intervals, strict=True)
    }
