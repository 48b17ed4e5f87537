"""Classification and regression of table rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, cast

import attrs
import numpy as np
from numpy.typing import NDArray

from ...engine.contracts import Examples, NewRows, Outcome, Predictions, Splits, TaskDraft, Values
from ...engine.errors import UsageError
from ...engine.foundation.options import REQUIRED, FilePath, option
from ...engine.hookspecs import hookimpl
from ...engine.sdk.judge import judge_labels, judge_values
from ...engine.sdk.splits import stratified
from ._dialect import Dialect
from ._frames import by_id, equal_rows, is_numeric, plain, read, row_ids
from ._table.columns import KINDS, column_uses
from ._table.draft import draft_of
from ._table.encoder import TableEncoder, check_numbers
from ._table.new_rows import NewRowsReader
from ._table.target import ClassTarget, Target, is_value, standardised, values_of

Index = NDArray[np.int64]
MANY_ROWS = 20
"""Rows from which a label with more classes than half of them is taken for no class label."""


@attrs.frozen(kw_only=True)
class Table:
    """A CSV, TSV, Excel, Parquet or JSON lines file: predict the `label` column from the others.

    Numbers are scaled, with missing values imputed by the median; categories are one-hot encoded; dates become year, month, day, weekday,
    hour and a running number of days; free text becomes 30 components of its TF-IDF matrix; columns that identify rows are left out. All
    of it is fitted on `source` if given, else on the training rows, never on validation or test. A label with many different numbers is a
    value, which objectives `mse` and `huber` learn. A random split keeps rows with equal features together; a table with too few
    different rows is split row by row, with a warning.
    """

    path: FilePath = option(REQUIRED, "the table: .csv, .tsv, .xlsx, .parquet or .jsonl")
    label: str = option(REQUIRED, "the column to predict")
    target: Target = option("auto", "what the label is: classes, or values of a regression")
    tolerance: float = option(
        0.5, "regression: largest error of a right prediction, in standard deviations of the label", min=0.0
    )
    source: FilePath = option("", "a table with the same columns on which the base model is pretrained")
    drop: tuple[str, ...] = option((), "columns to exclude, such as names and keys")
    numbers: tuple[str, ...] = option((), "columns to use as numbers, whatever they look like")
    categories: tuple[str, ...] = option((), "columns to use as categories, such as codes and numbered types")
    dates: tuple[str, ...] = option((), "columns to use as dates")
    texts: tuple[str, ...] = option((), "columns to use as free text")
    separator: str = option("", "separator of a .csv file; empty: found in its first line")
    encoding: str = option("utf-8", "encoding of a .csv or .tsv file")
    decimal: Literal["", ".", ","] = option("", "decimal sign of a .csv or .tsv file; empty: found")
    split: str = option(
        "", 'a column with "train", "validation" or "test" for every row; empty: random split'
    )
    validation: float = option(0.2, "share of rows for validation in a random split", min=0.01, max=0.49)
    test: float = option(0.2, "share of rows for the test in a random split", min=0.01, max=0.49)
    scale: Literal["standard", "minmax", "none"] = option("standard", "scaling of numeric columns")

    def __attrs_post_init__(self) -> None:
        """Check that no column is named twice."""
        named = [name for names in (*self._said.values(), self.drop, (self.label,)) for name in names]
        for name in named:
            if named.count(name) > 1:
                raise ValueError(
                    f'column "{name}" is named twice, among "label", "drop", {", ".join(self._said)}'
                )

    @property
    def _said(self) -> dict[str, tuple[str, ...]]:
        return {
            "numbers": self.numbers,
            "categories": self.categories,
            "dates": self.dates,
            "texts": self.texts,
        }

    @classmethod
    def draft(cls, path: str, label: str) -> TaskDraft:
        """Options for a file, with the label and kinds of columns that its content suggests."""
        return draft_of(path, label)

    def load(self, rng: np.random.Generator) -> Splits:
        """Read, split, encode. Raises `UsageError` naming the column or the rows at fault."""
        rows = self._read(self.path)
        source = self._read(self.source) if self.source else None
        self._check_columns(rows, source)
        tables: dict[str, Any] = (
            {self.path: rows} if source is None else {self.path: rows, self.source: source}
        )
        self._check_labels(tables)
        classes = None if self._has_values(rows) else ClassTarget.of(self.label, tables)
        rows, ids = by_id(rows)
        source = None if source is None else by_id(source)[0]
        labels = np.zeros(len(rows), dtype=np.int64) if classes is None else classes.codes(rows[self.label])
        features = self._features(rows)
        parts = self._by_column(rows) if self.split else self._at_random(plain(features), ids, labels, rng)
        self._check_parts(parts, labels)
        uses = column_uses(
            features,
            {n: KINDS[kind] for kind, names in self._said.items() for n in names},
            self.path,
            None if source is None else (self.source, source),
        )
        if all(use.kind == "drop" for use in uses):
            why = "; ".join(f'"{use.name}": {use.reason}' for use in uses)
            raise UsageError(
                f"{self.path}: no column is left to predict from ({why}); name some in task.numbers, task.categories, task.dates or task.texts"
            )
        fitted = rows.iloc[parts["train"]] if source is None else source
        encoder = TableEncoder.fit(fitted, uses, self.scale, self._dialect)
        whole = Examples(ids=ids, inputs=encoder.encode(rows), labels=labels)
        if classes is None:
            whole = attrs.evolve(whole, values=self._values(self.path, rows, fitted))
        return Splits.of(
            {part: whole.take(index) for part, index in parts.items()},
            source=None if source is None else self._source(source, classes, encoder),
            classes=() if classes is None else classes.classes,
            preprocessing=encoder,
        )

    def judge(self, examples: Examples, predictions: Predictions) -> Outcome:
        """Correct if the predicted class is the label, or the predicted value within `tolerance`."""
        if examples.values is not None:
            return judge_values(examples, predictions, self.tolerance)
        return judge_labels(examples, predictions)

    def new_rows(self, path: str, splits: Splits) -> Iterator[NewRows]:
        """Rows of another file with the same columns. Raises `UsageError` naming column and row at fault."""
        if path == "-":
            raise UsageError(
                "task table reads rows with columns; name a .csv, .tsv, .xlsx, .parquet or .jsonl file"
            )
        encoder = cast("TableEncoder", splits.preprocessing)
        reader = NewRowsReader(
            path=path, label=self.label, splits=splits, encoder=encoder, dialect=self._dialect
        )
        return reader.read()

    def _read(self, path: str) -> Any:
        return read(path, (self.label, self.split), self._dialect)

    @property
    def _dialect(self) -> Dialect:
        return Dialect(separator=self.separator, encoding=self.encoding, decimal=self.decimal)

    def _has_values(self, rows: Any) -> bool:
        return self.target == "values" or (self.target == "auto" and is_value(rows[self.label]))

    def _values(self, path: str, rows: Any, fitted: Any) -> Values:
        return standardised(
            values_of(path, rows[self.label]), values_of(self.source or path, fitted[self.label])
        )

    def _source(self, source: Any, classes: ClassTarget | None, encoder: TableEncoder) -> Examples:
        labels = (
            np.zeros(len(source), dtype=np.int64) if classes is None else classes.codes(source[self.label])
        )
        found = Examples(ids=row_ids(source), inputs=encoder.encode(source), labels=labels)
        return found if classes else attrs.evolve(found, values=self._values(self.source, source, source))

    def _check_columns(self, rows: Any, source: Any) -> None:
        for what, columns in {
            "label": [self.label],
            "split": [self.split] * bool(self.split),
            "drop": self.drop,
            **self._said,
        }.items():
            for column in columns:
                if column not in rows.columns:
                    raise UsageError(f'{self.path}: no column "{column}" ({what}); there are: {_names(rows)}')
        if source is not None:
            missing = [c for c in (*self._features(rows).columns, self.label) if c not in source.columns]
            if missing:
                raise UsageError(f'{self.source}: no column "{missing[0]}", which {self.path} has')
            self._check_kinds(rows, source)
        if self._features(rows).shape[1] == 0:
            raise UsageError(f"{self.path}: no column is left to predict from")
        check_numbers(self.path, self._features(rows))
        if source is not None:
            check_numbers(self.source, source[self._features(rows).columns])

    def _check_kinds(self, rows: Any, source: Any) -> None:
        """Raise `UsageError` for a column that is numeric in one table and text in the other."""
        for column in self._features(rows).columns:
            kinds = ["numbers" if is_numeric(table[column]) else "text" for table in (source, rows)]
            if kinds[0] != kinds[1]:
                raise UsageError(
                    f'{self.source}: column "{column}" holds {kinds[0]}, where {self.path} holds {kinds[1]}'
                )

    def _check_labels(self, tables: Mapping[str, Any]) -> None:
        """Raise `UsageError` for a row without label."""
        for path, rows in tables.items():
            empty = np.flatnonzero(rows[self.label].isna())
            if len(empty):
                others = f", and in {len(empty) - 1:,} more" if len(empty) > 1 else ""
                raise UsageError(
                    f'{path}: column "{self.label}" is empty in line {int(empty[0]) + 2}{others}; every row needs a label. Remove '
                    "these rows; boostlora predict scores rows without labels"
                )

    def _check_parts(self, parts: Mapping[str, Index], labels: Index) -> None:
        for name, index in parts.items():
            if len(index) == 0:
                classes, n = len(np.unique(labels)), len(labels)
                if n >= MANY_ROWS and 2 * classes > n:
                    raise UsageError(
                        f'{self.path}: column "{self.label}" has {classes:,} different values in {n:,} rows: too few rows of each to learn '
                        'classes from. Name another label, or group its values; a regression (task.target = "values") needs numbers'
                    )
                raise UsageError(
                    f"{self.path}: no row is left for {name}; every class gives its share of rows to it"
                )

    def _at_random(
        self, features: Any, ids: Index, labels: Index, rng: np.random.Generator
    ) -> dict[str, Index]:
        shares = {"validation": self.validation, "test": self.test}
        return stratified(ids, labels, shares, rng, groups=equal_rows(features))

    def _by_column(self, rows: Any) -> dict[str, Index]:
        column = rows[self.split].astype(object)
        values = np.array(["" if gap else str(v) for v, gap in zip(column, column.isna(), strict=True)])
        names = ("validation", "test", "train")
        wrong = sorted(set(values) - set(names))
        if wrong:
            raise UsageError(
                f'{self.path}: column "{self.split}" says "{wrong[0]}"; allowed: {", ".join(sorted(names))}'
            )
        return {name: np.flatnonzero(values == name) for name in names}

    def _features(self, rows: Any) -> Any:
        left_out = {self.label, self.split, *self.drop}
        return rows[[column for column in rows.columns if column not in left_out]]


def _names(rows: Any) -> str:
    return ", ".join(str(column) for column in rows.columns)


@hookimpl
def register_tasks(register: Callable[[str, type[Any]], None]) -> None:
    """Register `table`."""
    register("table", Table)
