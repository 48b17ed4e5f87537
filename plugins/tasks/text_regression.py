"""Regression of texts or text pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from ...engine.contracts import Examples, NewRows, Outcome, Predictions, Splits, Values
from ...engine.errors import UsageError
from ...engine.foundation.options import option
from ...engine.hookspecs import hookimpl
from ...engine.sdk.judge import judge_values
from ._frames import text_of
from ._numbers import number_of
from ._table.target import decimal_sign, standardised, values_of
from ._text.data import ids_of
from ._text.labelled import LabelledTexts
from ._text.rows import Row, Rows


@attrs.frozen(kw_only=True)
class TextRegression(LabelledTexts):
    """Rows of a file or a Hugging Face data set: predict the number in the `label` column from a text or a pair of texts.

    Objectives `mse` and `huber` learn it, in standard deviations of the rows of `source` if given, else of the training rows; metrics and
    predictions are in its own units. Example ids derive from texts and label, so the order of the rows does not matter. Rows with equal
    texts share a split.
    """

    tolerance: float = option(
        0.5, "largest error of a right prediction, in standard deviations of the label", min=0.0
    )

    def load(self, rng: np.random.Generator) -> Splits:
        """Read and split. Raises `UsageError` naming file, column and row at fault."""
        found = self.read_rows(self.columns, self.check_rows)
        source = self.source_rows()
        if self.source and not source:
            raise UsageError(f"{self.source}: no row is left")
        found, parts = self.split_rows(found, lambda _: "", rng, key=self.filled)
        values = self._values(found.rows)
        of_source = values_of(self.source, self._labels(source))
        fitted = of_source if source else values[parts["train"]]
        whole = self._examples(found.rows, found.ids, standardised(values, fitted))
        return Splits.of(
            {part: whole.take(index) for part, index in parts.items()},
            source=self._examples(source, ids_of(source, list(self.columns)), standardised(of_source, fitted))
            if source
            else None,
        )

    def check_rows(self, rows: Rows, found: Sequence[Row]) -> None:
        """Raise `UsageError` for a row without label or text, and for a label that is no finite number."""
        LabelledTexts.check_rows(self, rows, found)
        values_of(rows.where, self._labels(found), place="row", first=1)

    def judge(self, examples: Examples, predictions: Predictions) -> Outcome:
        """Correct if the predicted value is within `tolerance`."""
        return judge_values(examples, predictions, self.tolerance)

    def new_rows(self, path: str, splits: Splits) -> Iterator[NewRows]:
        """Rows of another file with the same columns of text, or one text a line of standard input."""
        fitted, sign = splits.train.values, ""
        assert fitted is not None  # `load` gives values
        for first, rows, texts in self.chunks_of(path):
            n = len(texts)
            truth = np.full(n, np.nan)
            if self.label in rows.columns:
                sign = sign or self._sign()
                cells = ["" if c is None else text_of(c).strip() for c in rows.columns[self.label]]
                truth = np.array([number_of(cell, sign) for cell in cells], dtype=np.float64)
            known = np.isfinite(truth)
            z = np.where(known, (truth - fitted.mean) / fitted.std, 0.0)
            numbers = np.arange(first + 1, first + n + 1, dtype=np.int64)
            examples = Examples(
                ids=numbers,
                inputs=texts,
                labels=np.zeros(n, dtype=np.int64),
                values=attrs.evolve(fitted, standardised=z),
            )
            yield NewRows(examples=examples, numbers=numbers, columns=rows.columns, known=known)

    def _values(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        """The labels of all files, each of which `check_rows` could read."""
        try:
            return values_of(self.where, self._labels(rows))
        except UsageError as error:
            raise UsageError(
                f'{self.where}: column "{self.label}" has another decimal sign or unit in one file than in another; write all alike'
            ) from error

    def _sign(self) -> str:
        """The decimal sign of the rows' labels, by which those of new rows are read: a chunk of these may leave it open."""
        return decimal_sign(self._labels(self.read_rows(self.columns, self.check_rows).rows))

    def _labels(self, rows: Sequence[Row]) -> Any:
        from pandas import Series  # noqa: PLC0415 - half a second to import

        return Series([row[self.label] for row in rows], name=self.label, dtype=object)

    def _examples(self, rows: Sequence[Row], ids: NDArray[np.int64], values: Values) -> Examples:
        return Examples(
            ids=ids, inputs=self.texts(rows), labels=np.zeros(len(rows), dtype=np.int64), values=values
        )


@hookimpl
def register_tasks(register: Callable[[str, type[Any]], None]) -> None:
    """Register `text-regression`."""
    register("text-regression", TextRegression)
