"""Inputs of a row as texts again, for people who look at single rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from .columns import ColumnUse
from .dates import PARTS
from .steps import CategoryStep, NumberStep, Step

MISSING, RARE, NEW, TEXT = "missing", "a rare value", "a value unknown in training", "free text"


def decoded(columns: Iterable[tuple[ColumnUse, Step]], inputs: NDArray[np.float64]) -> Mapping[str, str]:
    """The used columns of one row `(d,)`, by name, as the model gets them: a gap that no input marks is the column's median."""
    found, start = dict[str, str](), 0
    for use, step in columns:
        found[use.name] = _text(use, step, inputs[start : start + step.width])
        start += step.width
    return found


def _text(use: ColumnUse, step: Step, inputs: NDArray[np.float64]) -> str:
    match step:
        case CategoryStep():
            return _category(step, inputs)
        case NumberStep():
            return _numbers(use, step, inputs)
        case _:
            return TEXT


def _category(step: CategoryStep, inputs: NDArray[np.float64]) -> str:
    place = int(np.argmax(inputs))
    if not inputs[place]:
        return NEW
    if place == len(step.values):
        return RARE
    return step.values[place] or MISSING


def _numbers(use: ColumnUse, step: NumberStep, inputs: NDArray[np.float64]) -> str:
    values = inputs * step.scale + step.shift
    if step.has_gaps and values[-1] > 0.5:
        return MISSING
    if use.kind == "boolean":
        return "true" if values[0] > 0.5 else "false"
    if use.kind == "date":
        year, month, day = (round(float(values[PARTS.index(part)])) for part in ("year", "month", "day"))
        return f"{year:04d}-{month:02d}-{day:02d}"
    return number(float(values[0]))


def number(value: float) -> str:
    """A number with six significant digits, or a whole number in full: scaling and back leaves rounding errors."""
    whole = round(value)
    return str(whole) if abs(value - whole) <= 1e-9 * max(1.0, abs(value)) else f"{value:.6g}"
