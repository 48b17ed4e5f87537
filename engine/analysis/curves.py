"""Quantities after every round, with bands over seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..contracts.records import RoundRecord
from ..statistics.bootstrap import bca_many
from ..study.record import StudyRecord
from .chosen_round import Choice
from .model import Axis, Curve
from .quantities import gained_share, lost_share, metrics_of_splits, parameters, seconds, shape_of, steps_of
from .run_reader import Reading

RESAMPLES = 1999
"""Bootstrap samples of a band: fewer than a table's intervals have, since there are so many bands. The ends of a curve may
differ from the table's interval in the third digit."""

FLOWS = ("lost", "gained")
"""Quantities of a round itself, not of the model after it: a run that has stopped has none of it."""

Course = Mapping[str, NDArray[np.float64]]
"""Values `(rounds + 1,)` by name."""


def curves_of(study: StudyRecord, choice: Choice) -> list[Curve]:
    """The curves of a choice's finished seeds; those of quantities that some of its cells never have are left out.

    A run that stopped early carries its last values forward, since its model stays what it is; of `lost` and `gained`
    it has 0. The bands are BCa intervals of the mean at every round, each by itself: they do not cover a curve as a whole.
    """
    if not choice.readings:
        return []
    length = max(len(reading.records) for reading in choice.readings)
    axes = _stack([_axes(reading) for reading in choice.readings], length)
    tables = _stack([_quantities(reading) for reading in choice.readings], length)
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
    """Means over seeds by axis; the axis of rounds is the same for all."""
    length = axes["seconds"].shape[1]
    x: dict[Axis, tuple[float, ...]] = {"round": tuple(float(number) for number in range(length))}
    names: tuple[Axis, ...] = ("rank", "parameters", "steps", "seconds")
    x.update({name: _floats(axes[name].mean(axis=0)) for name in names if name in axes})
    return x


def _axes(reading: Reading) -> Course:
    """Rank, numbers trained, optimiser steps and time, from the beginning to the end of every round."""
    records = reading.records
    trained = np.cumsum([parameters([record]) for record in records], dtype=np.float64)
    time = np.cumsum([seconds(record) for record in records], dtype=np.float64)
    rank = _complete("rank", [shape_of(record).get("rank") for record in records])
    each = steps_of(reading.spec, len(records) - 1)
    steps = {} if each is None else {"steps": np.cumsum([0, *each], dtype=np.float64)}
    return {"parameters": trained, "seconds": time, **rank, **steps}


def _quantities(reading: Reading) -> Course:
    """Every quantity of a run; absent are those that it never has."""
    records = reading.records
    splits = [metrics_of_splits(record) for record in records]
    shapes = [shape_of(record) for record in records]
    names = [name for name in splits[0] if all(name in metrics for metrics in splits)]
    course = {name: np.array([metrics[name] for metrics in splits]) for name in names}
    for name in ("rank", "effective_rank", "overlap"):
        course.update(_complete(name, [shape.get(name) for shape in shapes]))
    shares: dict[str, Callable[[RoundRecord], float | None]] = {"lost": lost_share, "gained": gained_share}
    for name, share in shares.items():
        course.update(_complete(name, [share(record) for record in records]))
    course["failures"] = np.array([record.failures for record in records], dtype=np.float64)
    return course


def _complete(name: str, values: Sequence[float | None]) -> Course:
    """Values with 0 where a round has none, such as the base, which has no earlier round to overlap with."""
    if all(value is None for value in values):
        return {}
    return {name: np.array([0.0 if value is None else value for value in values])}


def _stack(courses: Sequence[Course], length: int) -> dict[str, NDArray[np.float64]]:
    """Tables `(seeds, length)` of what all courses have."""
    names = [name for name in courses[0] if all(name in course for course in courses)]
    return {name: np.stack([_carried(name, course[name], length) for course in courses]) for name in names}


def _carried(name: str, values: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    last = 0.0 if name in FLOWS else values[-1]
    return np.concatenate([values, np.full(length - len(values), last)])


def _floats(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
