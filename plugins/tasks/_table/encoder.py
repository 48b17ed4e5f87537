"""Rows of a table as numbers: fitted on the training rows, then applied to all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from ....engine.contracts import InputColumn, PortablePreprocessing
from ....engine.errors import UsageError
from .._dialect import Dialect
from .._files import PLAIN
from .._frames import filled_texts, is_numeric
from .columns import ColumnUse
from .dates import date_numbers
from .decoder import decoded
from .portable import portable
from .steps import CategoryStep, NumberStep, Scale, Step, TextStep

LARGEST = 1e150
"""Numbers beyond overflow when they are squared."""
TRUE = frozenset({"true", "yes", "t", "y", "1"})


@attrs.frozen(kw_only=True, eq=False)
class TableEncoder:
    """Columns to inputs, in the order of the table."""

    uses: tuple[ColumnUse, ...]
    steps: dict[str, Step]
    """By columns that are used."""
    numeric: frozenset[str]
    """Columns that held numbers when they were fitted, whatever they are used as."""
    dialect: Dialect = PLAIN
    """How new rows are written."""

    @classmethod
    def fit(
        cls, rows: Any, uses: Sequence[ColumnUse], scale: Scale, dialect: Dialect = PLAIN
    ) -> TableEncoder:
        """Fit medians, scales, categories and vocabularies on rows."""
        numeric = frozenset(use.name for use in uses if is_numeric(rows[use.name]))
        draft = cls(uses=tuple(uses), steps={}, numeric=numeric, dialect=dialect)
        with _one_thread():
            steps = {use.name: _fitted(use, draft.values(use, rows), scale) for use in draft.used}
        return attrs.evolve(draft, steps=steps)

    @property
    def used(self) -> tuple[ColumnUse, ...]:
        """The columns that become inputs."""
        return tuple(use for use in self.uses if use.kind != "drop")

    @property
    def columns(self) -> tuple[InputColumn, ...]:
        """Every column, those left out included."""
        return tuple(_described(use, self.steps.get(use.name)) for use in self.uses)

    def encode(self, rows: Any) -> NDArray[np.float64]:
        """Rows as inputs `(n, width)`. Raises `UsageError` for a missing column, or one of another type."""
        ends = np.cumsum([0, *(self.steps[use.name].width for use in self.used)])
        inputs = np.empty((len(rows), int(ends[-1])))
        with _one_thread():
            for use, start, end in zip(self.used, ends[:-1], ends[1:], strict=True):
                inputs[:, start:end] = self.steps[use.name].encode(self.values(use, rows))
        return inputs

    def decode(self, inputs: NDArray[np.float64]) -> Mapping[str, str]:
        """The columns of one row of inputs `(d,)` as texts."""
        return decoded([(use, self.steps[use.name]) for use in self.used], inputs)

    def portable(self) -> PortablePreprocessing:
        """Settings, arrays, and the program that applies them."""
        return portable(self.uses, self.steps, self.numeric, self.dialect)

    def values(self, use: ColumnUse, rows: Any) -> Any:
        """A column as texts `(n,)`, "" for a gap, or as numbers `(n, c)`, NaN for a gap; a date is several numbers."""
        if use.name not in rows.columns:
            raise UsageError(f'no column "{use.name}"; there are: {", ".join(map(str, rows.columns))}')
        column = rows[use.name]
        if use.kind == "date":
            return np.column_stack(list(date_numbers(_texts(column), use.format).values()))
        values = _column(use, column)
        return values if use.kind in {"category", "text"} else values.to_numpy(np.float64)[:, None]


def _column(use: ColumnUse, column: Any) -> Any:
    if use.kind in {"category", "text"}:
        return _texts(column)
    if is_numeric(column):
        return column.astype("float64")
    if use.kind == "boolean":
        lower = column.str.strip().str.lower()
        return lower.map(lambda text: float(text in TRUE), na_action="ignore").astype("float64")
    raise UsageError(f'column "{use.name}" holds text, where the training rows hold numbers')


def _texts(column: Any) -> Any:
    """A column as texts, "" where a value is missing; 1.0 is "1", since integers with gaps are stored as floats."""
    return filled_texts(column, "")


def _fitted(use: ColumnUse, values: Any, scale: Scale) -> Step:
    match use.kind:
        case "category":
            return CategoryStep.fit(values)
        case "text":
            return TextStep.fit(values)
        case _:
            return NumberStep.fit(values, scale)


def _described(use: ColumnUse, step: Step | None) -> InputColumn:
    if step is None:
        return InputColumn(name=use.name, kind="left out", width=0, note=use.reason)
    gaps = isinstance(step, NumberStep) and step.has_gaps
    notes = [use.reason, "with an input for gaps" if gaps else ""]
    return InputColumn(name=use.name, kind=use.kind, width=step.width, note="; ".join(filter(None, notes)))


def check_numbers(path: str, rows: Any) -> None:
    """Raise `UsageError` for a number that is infinite or too large to compute with, naming column and line."""
    for name, column in rows.items():
        if not is_numeric(column):
            continue
        values = np.abs(column.to_numpy(np.float64, na_value=np.nan))
        wrong = np.flatnonzero(values > LARGEST)
        if len(wrong):
            what = (
                "infinite"
                if np.isinf(values[wrong[0]])
                else f"{column.iloc[wrong[0]]:g}, too large to compute with,"
            )
            raise UsageError(
                f'{path}: column "{name}" is {what} in line {wrong[0] + 2}; correct the file, or add the column to task.drop'
            )


def _one_thread() -> Any:
    """A context with one BLAS thread: sums then round identically on every machine."""
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    return threadpool_limits(1)
