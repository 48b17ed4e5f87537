"""A fitted encoder as words and arrays, with the program that applies them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....engine.contracts import PortablePreprocessing
from .._dialect import Dialect
from .columns import ColumnUse
from .dates import ISO
from .steps import CategoryStep, NumberStep, Step, TextStep

PROGRAM = Path(__file__).with_name("score.py")


def portable(
    uses: Sequence[ColumnUse], steps: Mapping[str, Step], numeric: Collection[str], dialect: Dialect
) -> PortablePreprocessing:
    """Settings and arrays that `score.py` reads; arrays are named by the column's place, whatever the column is called."""
    columns, arrays = list[dict[str, Any]](), dict[str, NDArray[np.float64]]()
    for place, use in enumerate(uses):
        words, numbers = _parts(steps.get(use.name))
        columns.append(
            {
                "name": use.name,
                "kind": use.kind,
                "numeric": use.name in numeric,
                "format": use.format,
                **words,
            }
        )
        arrays |= {f"{place}.{name}": np.ascontiguousarray(array) for name, array in numbers.items()}
    return PortablePreprocessing(
        program=PROGRAM.read_text(encoding="utf-8"),
        settings={
            "dialect": {
                "separator": dialect.separator,
                "encoding": dialect.encoding,
                "decimal": dialect.decimal,
            },
            "columns": columns,
        },
        arrays=arrays,
        example={use.name: _example(use, steps[use.name]) for use in uses if use.kind != "drop"},
    )


def _parts(step: Step | None) -> tuple[Mapping[str, Any], Mapping[str, NDArray[np.float64]]]:
    """The words and the arrays of a step."""
    match step:
        case NumberStep():
            width = step.width
            shift, scale = (np.broadcast_to(values, width) for values in (step.shift, step.scale))
            return {"has_gaps": step.has_gaps}, {"median": step.median, "shift": shift, "scale": scale}
        case CategoryStep():
            return {"values": list(step.values), "rare": step.rare}, {}
        case TextStep():
            return {"words": list(step.words)}, dict(step.arrays)
        case _:
            return {}, {}


def _example(use: ColumnUse, step: Step) -> Any:
    """A typical cell: the median, a known category, a date in its format."""
    if isinstance(step, CategoryStep):
        return next((value for value in step.values if value), "")
    if use.kind == "date":
        return _date("%Y-%m-%d" if use.format == ISO else use.format)
    if use.kind == "text":
        return "some words"
    assert isinstance(step, NumberStep)
    if use.kind == "boolean":
        return "yes" if step.median[0] >= 0.5 else "no"
    return float(f"{step.median[0]:.4g}")


def _date(form: str) -> str:
    return datetime(2024, 12, 31, 9, 30, tzinfo=UTC).strftime(form)
