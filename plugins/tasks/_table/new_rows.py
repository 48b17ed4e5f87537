"""New rows of a table: cells as the types that the training rows have, and labels where they are known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from ....engine.contracts import Examples, NewRows, Splits, Values
from ....engine.errors import UsageError
from ....engine.foundation.options import shortened
from .._chunks import chunks
from .._dialect import Dialect, separator_of
from .._files import kind_of
from .._frames import class_numbers, is_numeric, plain_column, text_of
from .._numbers import is_decimal_comma, number_of
from .columns import ColumnUse
from .dates import date_numbers
from .encoder import LARGEST, TRUE, TableEncoder

MISSING = frozenset(
    {"", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>"}
    | {"N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"}
)
"""Cells of a column of numbers that pandas takes for missing."""
FALSE = frozenset({"false", "no", "f", "n", "0"})


@attrs.frozen(kw_only=True, eq=False)
class NewRowsReader:
    """Reads new rows of a table with the encoder that was fitted on the training rows."""

    path: str
    label: str
    splits: Splits
    encoder: TableEncoder
    dialect: Dialect

    def read(self) -> Iterator[NewRows]:
        """The rows in chunks. Raises `UsageError` naming column and row at fault."""
        sign = self._decimal_sign()
        for frame in chunks(self.path, self.dialect):
            self._check_columns(frame)
            typed = frame.assign(
                **{
                    use.name: self._typed(use, _plain(frame[use.name]), sign)
                    for use in self.encoder.uses
                    if use.kind != "drop"
                }
            )
            examples, known = self._examples(typed, frame, sign)
            columns = {str(name): _listed(column) for name, column in frame.items()}
            yield NewRows(examples=examples, numbers=examples.ids, columns=columns, known=known)

    def _decimal_sign(self) -> str:
        """The decimal sign of a text file: a comma if a column of numbers has one, else a point."""
        if self.dialect.decimal or kind_of(self.path) not in {"csv", "tsv"}:
            return self.dialect.decimal or "."
        separator = separator_of(self.path, self.dialect)
        for frame in chunks(self.path, self.dialect):
            for name in self.encoder.numeric & set(frame.columns):
                if any("," in cell and is_decimal_comma(cell, separator) for cell in frame[name]):
                    return ","
        return "."

    def _check_columns(self, frame: Any) -> None:
        for use in self.encoder.uses:
            if use.kind != "drop" and use.name not in frame.columns:
                there = shortened(", ".join(map(str, frame.columns)), 400)
                raise UsageError(
                    f'{self.path}: no column "{use.name}", which the model was trained on; there are: {there}'
                )

    def _typed(self, use: ColumnUse, column: Any, sign: str) -> Any:
        """A column as the encoder takes it: numbers, or texts with None for missing ones."""
        if use.kind in {"category", "text", "date"}:
            texts = _texts(column, sign) if use.name in self.encoder.numeric else column
            if use.kind == "date":
                self._check_dates(use, texts)
            return texts
        if is_numeric(column):
            numbers = column.astype("float64")
        else:
            known = column.map(lambda cell: cell is not None and cell.strip() not in MISSING)
            numbers = column.where(known, None).map(lambda cell: _number(cell, sign, use.kind))
            self._check(use, column, known & numbers.isna(), "no number" if use.kind == "number" else "")
        self._check(use, column, numbers.abs() > LARGEST, "too large to compute with")
        return numbers.astype("float64")

    def _check_dates(self, use: ColumnUse, column: Any) -> None:
        texts = column.map(lambda cell: "" if cell is None or cell != cell else text_of(cell))  # noqa: PLR0124 - NaN
        read = date_numbers(texts, use.format)
        self._check(use, column, (texts != "") & read["days"].isna(), "no date as in the training rows")

    def _check(self, use: ColumnUse, column: Any, wrong: Any, what: str) -> None:
        """Raise `UsageError` for the first row in which a column is `wrong`."""
        rows = np.flatnonzero(wrong.to_numpy(np.bool_))
        if len(rows):
            cell = shortened(str(column.iloc[rows[0]]), 40)
            what = what or "neither true nor false"
            raise UsageError(
                f'{self.path}: column "{use.name}" is "{cell}" in row {column.index[rows[0]] + 1}, {what}'
            )

    def _examples(self, typed: Any, frame: Any, sign: str) -> tuple[Examples, NDArray[np.bool_]]:
        """Encoded rows, and which of them have a known label."""
        n = len(frame)
        numbers = frame.index.to_numpy(np.int64) + 1
        cells = [""] * n
        if self.label in frame.columns:
            cells = ["" if c is None else text_of(c).strip() for c in _listed(frame[self.label])]
        examples = Examples(ids=numbers, inputs=self.encoder.encode(typed), labels=np.zeros(n, np.int64))
        values = self.splits.train.values
        if values is None:
            labels = class_numbers(cells, self.splits.classes)
            return attrs.evolve(examples, labels=np.maximum(labels, 0)), labels >= 0
        truth = np.array([_number(cell, sign, "number") for cell in cells], dtype=np.float64)
        known = np.isfinite(truth)
        standardised = np.where(known, (truth - values.mean) / values.std, 0.0)
        return attrs.evolve(
            examples, values=Values(standardised=standardised, mean=values.mean, std=values.std)
        ), known


def _plain(column: Any) -> Any:
    return column if is_numeric(column) else plain_column(column, is_label=False)


def _listed(column: Any) -> list[Any]:
    """Values with None for missing ones."""
    return [None if gap else v for v, gap in zip(column.tolist(), column.isna().tolist(), strict=True)]


def _texts(column: Any, sign: str) -> Any:
    """Cells of a column that held numbers in training: those that are numbers in their shortest form, others as they are."""
    return column if is_numeric(column) else column.map(lambda cell: _number_text(cell, sign))


def _number_text(cell: str | None, sign: str) -> str | None:
    if cell is None or cell.strip() in MISSING:
        return None
    try:
        return str(int(cell))
    except ValueError:
        number = _number(cell, sign, "number")
        return cell if np.isnan(number) else text_of(number)


def _number(cell: str | None, sign: str, kind: str) -> float:
    """A cell as a number, NaN if it is none."""
    if cell is None:
        return np.nan
    if kind == "boolean":
        text = cell.strip().lower()
        return 1.0 if text in TRUE else 0.0 if text in FALSE else np.nan
    return number_of(cell, sign)
