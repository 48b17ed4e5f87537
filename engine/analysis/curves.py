"""Quantities after every round, with bands over seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..contracts.records import RoundRecord
from ..statistics.bootstrap import bca_many
from ..study.record import StudyRecord
from .model import Axis, Curve
from .quantities import gained_share, lost_share, metrics_of_splits, parameters, seconds, shape_of, steps_of
from .run_reader import CellRun
from .tuning_choice import TuningChoice

RESAMPLES = 1999
"""Bootstrap samples of a band: fewer than for a table's intervals, since there are many bands. The last band of a curve
may differ from the table's interval in the third digit."""

PER_ROUND = ("lost", "gained")
"""Quantities of a round, not of the model after it: 0 in every round after a run has stopped."""

Series = Mapping[str, NDArray[np.float64]]
"""Values `(rounds + 1,)` by name."""


def curves_of(study: StudyRecord, choice: TuningChoice) -> list[Curve]:
    """The curves of an arm's finished seeds; quantities that some cell lacks are omitted.

    After an early stop the last values are carried forward, since the model no longer changes; `lost` and `gained` are 0.
    The bands are pointwise BCa intervals of the mean: they do not cover a curve simultaneously.
    """
    if not choice.cell_runs:
        return []
    length = max(len(run.records) for run in choice.cell_runs)
    axes = _stack([_axes(run) for run in choice.cell_runs], length)
    tables = _stack([_quantities(run) for run in choice.cell_runs], length)
    x = _on_axes(axes)
    names = list(tables)
    columns = np.concatenate([tables[name].T for name in names])
    bands = bca_many(columns, study.confidence, resamples=RESAMPLES)
    return [
        Curve(
            arm=choice.arm,
            block=choice.block,
            quantity=name,
            x=x,
            mean=_floats(tables[name].mean(axis=0)),
            low=tuple(None if band is None else band[0] for band in bands[start : start + length]),
            high=tuple(None if band is None else band[1] for band in bands[start : start + length]),
        )
        for name, start in zip(names, range(0, len(columns), length), strict=True)
    ]


def _on_axes(axes: Mapping[str, NDArray[np.float64]]) -> dict[Axis, tuple[float, ...]]:
    """Means over seeds by axis; the axis of rounds is the same for every seed."""
    length = axes["seconds"].shape[1]
    x: dict[Axis, tuple[float, ...]] = {"round": tuple(float(number) for number in range(length))}
    names: tuple[Axis, ...] = ("rank", "parameters", "steps", "seconds")
    x.update({name: _floats(axes[name].mean(axis=0)) for name in names if name in axes})
    return x


def _axes(run: CellRun) -> Series:
    """Cumulative rank, trained parameters, optimiser steps and time at the end of every round."""
    records = run.records
    trained = np.cumsum([parameters([record]) for record in records], dtype=np.float64)
    time = np.cumsum([seconds(record) for record in records], dtype=np.float64)
    rank = _complete("rank", [shape_of(record).get("rank") for record in records])
    each = steps_of(run.spec, len(records) - 1)
    steps = {} if each is None else {"steps": np.cumsum([0, *each], dtype=np.float64)}
    return {"parameters": trained, "seconds": time, **rank, **steps}


def _quantities(run: CellRun) -> Series:
    """Every quantity of a run; those that it never records are absent."""
    records = run.records
    splits = [metrics_of_splits(record) for record in records]
    shapes = [shape_of(record) for record in records]
    names = [name for name in splits[0] if all(name in metrics for metrics in splits)]
    series = {name: np.array([metrics[name] for metrics in splits]) for name in names}
    for name in ("rank", "effective_rank", "overlap"):
        series.update(_complete(name, [shape.get(name) for shape in shapes]))
    shares: dict[str, Callable[[RoundRecord], float | None]] = {"lost": lost_share, "gained": gained_share}
    for name, share in shares.items():
        series.update(_complete(name, [share(record) for record in records]))
    series["failures"] = np.array([record.failures for record in records], dtype=np.float64)
    return series


def _complete(name: str, values: Sequence[float | None]) -> Series:
    """Values with 0 where a round has none; the base, for example, has no earlier round to overlap with."""
    if all(value is None for value in values):
        return {}
    return {name: np.array([0.0 if value is None else value for value in values])}


def _stack(runs: Sequence[Series], length: int) -> dict[str, NDArray[np.float64]]:
    """Arrays `(seeds, length)` of the quantities that all runs have."""
    names = [name for name in runs[0] if all(name in series for series in runs)]
    return {name: np.stack([_carry_forward(name, series[name], length) for series in runs]) for name in names}


def _carry_forward(name: str, values: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    last = 0.0 if name in PER_ROUND else values[-1]
    return np.concatenate([values, np.full(length - len(values), last)])


def _floats(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
