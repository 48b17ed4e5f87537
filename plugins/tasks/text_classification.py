"""Classification of texts or text pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from ...engine.contracts import Examples, NewRows, Outcome, Predictions, Splits
from ...engine.errors import UsageError
from ...engine.foundation.options import FilePath, option
from ...engine.hookspecs import hookimpl
from ...engine.sdk.judge import judge_labels
from ._frames import WHOLE, class_numbers, classes_of, text_of
from ._table.target import is_value, numbers_in
from ._text.data import AssignedRows, ids_of
from ._text.labelled import SOURCE, LabelledTexts
from ._text.rows import Row


@attrs.frozen(kw_only=True)
class TextClassification(LabelledTexts):
    """Rows of a file or a Hugging Face data set: predict the class in the `label` column from a text or a pair of texts.

    Example ids derive from texts and label, so the order of the rows does not matter. Rows with equal texts share a split.
    """

    drop: tuple[str, ...] = option((), "labels whose rows are excluded")
    source: FilePath = option("", SOURCE)  # again: a spec's hash depends on the order of options

    def load(self, rng: np.random.Generator) -> Splits:
        """Read and split. Raises `UsageError` naming file, column and row at fault."""
        found = self.read_rows(self.columns, self.check_rows, lambda row: row[self.label] not in self.drop)
        source = [row for row in self.source_rows() if row[self.label] not in self.drop]
        if self.source and not source:
            raise UsageError(f"{self.source}: no row is left")
        found, source = self._unify_labels(found, source)
        classes = self._classes(found.rows, source)
        found, parts = self.split_rows(found, lambda row: row[self.label], rng, key=self.filled)
        whole = self._examples(found.rows, found.ids, classes)
        return Splits.of(
            {part: whole.take(index) for part, index in parts.items()},
            source=self._examples(source, ids_of(source, list(self.columns)), classes) if source else None,
            classes=classes,
        )

    def judge(self, examples: Examples, predictions: Predictions) -> Outcome:
        """Correct if the predicted class is the label."""
        return judge_labels(examples, predictions)

    def new_rows(self, path: str, splits: Splits) -> Iterator[NewRows]:
        """Rows of another file with the same columns of text, or one text a line of standard input."""
        for first, rows, texts in self.chunks_of(path):
            n = len(texts)
            labels = class_numbers(
                ["" if c is None else text_of(c) for c in rows.columns.get(self.label, [None] * n)],
                splits.classes,
            )
            numbers = np.arange(first + 1, first + n + 1, dtype=np.int64)
            examples = Examples(ids=numbers, inputs=texts, labels=np.maximum(labels, 0))
            yield NewRows(examples=examples, numbers=numbers, columns=rows.columns, known=labels >= 0)

    def _unify_labels(self, found: AssignedRows, source: list[Row]) -> tuple[AssignedRows, list[Row]]:
        """Rename `1.0` to `1` if both are labels: integers may be stored as floats in one file and not in another."""
        labels = {row[self.label] for row in (*found.rows, *source)}
        whole = {name: bare for name in labels if (bare := WHOLE.sub(r"\1", name)) != name and bare in labels}
        if not whole:
            return found, source
        rows, source = (
            [{**row, self.label: whole.get(row[self.label], row[self.label])} for row in some]
            for some in (found.rows, source)
        )
        return attrs.evolve(found, rows=rows), source

    def _classes(self, rows: Sequence[Row], source: Sequence[Row]) -> tuple[str, ...]:
        """The classes. Raises `UsageError` for numbers that are values: fractions, or nearly as many as there are rows."""
        from pandas import Series  # noqa: PLC0415 - half a second to import

        labels = {row[self.label] for row in (*rows, *source)}
        column = Series(sorted(labels), dtype=object)
        fractions = any(number is not None and not number.is_integer() for number in numbers_in(column))
        if is_value(column) and (fractions or 2 * len(labels) > len(rows)):
            raise UsageError(
                f'{self.where}: column "{self.label}" holds {len(labels):,} different numbers in {len(rows):,} rows, values and not '
                'classes; set task.use = "text-regression", or write classes as words'
            )
        return classes_of(labels, self.where, self.label)

    def _examples(self, rows: Sequence[Row], ids: NDArray[np.int64], classes: tuple[str, ...]) -> Examples:
        position = {name: i for i, name in enumerate(classes)}
        return Examples(
            ids=ids,
            inputs=self.texts(rows),
            labels=np.array([position[row[self.label]] for row in rows], dtype=np.int64),
        )


@hookimpl
def register_tasks(register: Callable[[str, type[Any]], None]) -> None:
    """Register `text-classification`."""
    register("text-classification", TextClassification)
