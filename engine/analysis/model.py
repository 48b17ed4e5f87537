"""An analysed study: rows of a table, curves of a picture, cells to look into. Reports render it, and add nothing."""

from __future__ import annotations

from typing import Any, Literal

import attrs

from ..contracts.records import RoundRecord
from ..study.record import StudyRecord
from ..study.states import CellState

Axis = Literal["round", "rank", "parameters", "steps", "seconds"]
Verdict = Literal["better", "worse", "unclear", "too few seeds", "one seed"]


@attrs.frozen(kw_only=True)
class Estimate:
    """A mean over seeds with its BCa bootstrap interval."""

    mean: float
    low: float | None
    """None where the seeds are too few for an interval."""
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
    """One seed: exact McNemar. Several: sign-flip permutation test that keeps all seeds of an example together."""
    test: Literal["mcnemar", "permutation"]
    low: float | None
    """Interval of the difference in accuracy, resampling examples."""
    high: float | None


@attrs.frozen(kw_only=True)
class Comparison:
    """An arm against the baseline of its block, paired by seed and by example."""

    seeds: tuple[int, ...]
    """Seeds that both have finished."""
    difference: Estimate
    """Arm minus baseline in the study's metric, by seed: a share for accuracy, nats for the loss, a measure as it is."""
    relative: float | None
    """The mean difference divided by the baseline's mean; None where that is 0."""
    wins: int
    """Seeds in which the arm is better (a higher accuracy or measure, a lower loss)."""
    p: float | None
    """Two-sided paired permutation test over seeds; None with one seed."""
    p_holm: float | None
    """After Holm's correction over all comparisons of the study."""
    smallest_p: float | None
    """What no test with so many seeds can fall below, after the correction."""
    examples: ExampleComparison | None
    """None where the outcomes have no examples in common."""
    verdict: Verdict
    words: str
    """The verdict in a sentence for people."""


@attrs.frozen(kw_only=True)
class Row:
    """An arm in a block, at the tuning that is best on validation."""

    arm: str
    block: str
    is_baseline: bool
    values: dict[str, Any]
    """The arm's differing keys, solved ones included."""
    tuned: dict[str, Any]
    """The chosen values of tuned keys."""
    seeds: tuple[int, ...]
    """Finished seeds."""
    missing: tuple[int, ...]
    """Seeds that are not finished, failed or excluded."""
    cells: tuple[str, ...]
    """Keys of the cells it is made of, in the order of `seeds`."""
    metrics: dict[str, Estimate]
    """`test.accuracy`, `test.loss`, `validation.accuracy`, …, what the task measures itself (`test.auroc`, …), all of them of the base
    (`base.test.accuracy`, …), `rank`, `effective_rank`, `overlap`,
    `parameters` (trained in all merged rounds), `stored` (numbers to be kept to make the model again), `rounds`, `steps`,
    `examples` (drawn into batches), `lost` (of the training examples right before a round, the share wrong after it, over all
    rounds), `gained`, `seconds`, `memory_bytes`. Metrics that no cell has are absent."""
    comparison: Comparison | None
    """None for the baseline, and where nothing is paired."""


@attrs.frozen(kw_only=True)
class Candidate:
    """An arm in a block at one tuning, as it was judged: on validation, and by nothing else."""

    arm: str
    block: str
    tuning: dict[str, Any]
    """The values of the tuned keys."""
    validation: Estimate | None
    """The study's metric on validation at the counted round, over `seeds`; None where none has finished. There is no number
    of the test split here, so that nobody chooses by it."""
    seeds: tuple[int, ...]
    """The seeds by which it was judged: finished at every tuning of the arm that finished any, else its own."""
    chosen: bool
    """Whether its arm is reported at it."""


@attrs.frozen(kw_only=True)
class Curve:
    """A quantity after every round, mean over the seeds of a row with a bootstrap band."""

    arm: str
    block: str
    quantity: str
    """`test.accuracy`, `test.loss`, `validation.accuracy`, `validation.loss`, `train.accuracy`, …, measures of the
    task (`test.auroc`, …), `rank`, `effective_rank`, `overlap`, `lost`, `failures`, …"""
    x: dict[Axis, tuple[float, ...]]
    """Mean over seeds at every round: the round itself, cumulative rank, parameters trained so far, optimiser steps so
    far (as many a round as the spec says; absent where it names none), seconds so far."""
    mean: tuple[float, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]


@attrs.frozen(kw_only=True, eq=False)
class CellView:
    """One cell to look into."""

    state: CellState
    selected: bool
    """Whether its tuning is the one that its row reports."""
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
    """Honest words on the whole: failed and missing cells, too few seeds, how many comparisons were corrected for."""
    candidates: tuple[Candidate, ...] = ()
    """What every arm was tuned over, block by block, in the study's order; empty where nothing is tuned."""
