"""Classification of table rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from ...engine.contracts import Examples, Outcome, Predictions, Splits
from ...engine.errors import UsageError
from ...engine.foundation.options import REQUIRED, FilePath, option
from ...engine.hookspecs import hookimpl
from ...engine.sdk.judge import judge_labels
from ...engine.sdk.splits import stratified
from ._frames import by_id, check_finite, classes_of, equal_rows, is_numeric, plain, read, row_ids, texts


@attrs.frozen(kw_only=True)
class Table:
    """A CSV, TSV, Parquet or JSON lines file: predict the `label` column from the others.

    Numeric columns are scaled, with missing values imputed by the median; others are one-hot encoded. Both are fitted on `source` if
    given, else on the training rows, never on validation or test. A random split keeps rows with equal features together; a
    table with too few different rows is split row by row, with a warning.
    """

    path: FilePath = option(REQUIRED, "the table: .csv, .tsv, .parquet or .jsonl")
    label: str = option(REQUIRED, "the column to predict")
    source: FilePath = option("", "a table with the same columns on which the base model is pretrained")
    drop: tuple[str, ...] = option((), "columns to exclude, such as names and keys")
    split: str = option(
        "", 'a column with "train", "validation" or "test" for every row; empty: random split'
    )
    validation: float = option(0.2, "share of rows for validation in a random split", min=0.01, max=0.49)
    test: float = option(0.2, "share of rows for the test in a random split", min=0.01, max=0.49)
    scale: Literal["standard", "minmax", "none"] = option("standard", "scaling of numeric columns")

    def load(self, rng: np.random.Generator) -> Splits:
        """Read, split, scale. Raises `UsageError` naming the column or the rows at fault."""
        rows = read(self.path, (self.label, self.split))
        source = read(self.source, (self.label,)) if self.source else None
        self._check_columns(rows, source)
        classes = self._classes(rows[self.label], source)
        rows, ids = by_id(rows)
        source = None if source is None else by_id(source)[0]
        labels = _codes(rows[self.label], classes)
        features = plain(self._features(rows))
        parts = self._by_column(rows) if self.split else self._at_random(features, ids, labels, rng)
        for name, index in parts.items():
            if len(index) == 0:
                raise UsageError(
                    f"{self.path}: no row is left for {name}; every class gives its share of rows to it"
                )
        fitted = self._scaler(features).fit(
            features.iloc[parts["train"]] if source is None else plain(source[features.columns])
        )
        inputs = np.asarray(fitted.transform(features), dtype=np.float64)

        def examples(index: NDArray[np.int64]) -> Examples:
            return Examples(ids=ids[index], inputs=inputs[index], labels=labels[index])

        return Splits(
            train=examples(parts["train"]),
            validation=examples(parts["validation"]),
            test=examples(parts["test"]),
            source=None if source is None else self._source(source, classes, fitted),
            classes=classes,
        )

    def judge(self, examples: Examples, predictions: Predictions) -> Outcome:
        """Correct if the predicted class is the label."""
        return judge_labels(examples, predictions)

    def _source(self, source: Any, classes: tuple[str, ...], fitted: Any) -> Examples:
        inputs = np.asarray(fitted.transform(plain(self._features(source))), dtype=np.float64)
        return Examples(ids=row_ids(source), inputs=inputs, labels=_codes(source[self.label], classes))

    def _check_columns(self, rows: Any, source: Any) -> None:
        for what, columns in {
            "label": [self.label],
            "split": [self.split] * bool(self.split),
            "drop": self.drop,
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
        check_finite(self.path, self._features(rows))
        if source is not None:
            check_finite(self.source, source[self._features(rows).columns])

    def _check_kinds(self, rows: Any, source: Any) -> None:
        """Raise `UsageError` for a column that is numeric in one table and text in the other."""
        for column in self._features(rows).columns:
            kinds = ["numbers" if is_numeric(table[column]) else "text" for table in (source, rows)]
            if kinds[0] != kinds[1]:
                raise UsageError(
                    f'{self.source}: column "{column}" holds {kinds[0]}, where {self.path} holds {kinds[1]}'
                )

    def _classes(self, column: Any, source: Any) -> tuple[str, ...]:
        for values, path in (
            (column, self.path),
            (None if source is None else source[self.label], self.source),
        ):
            if values is not None and values.isna().any():
                row = int(np.flatnonzero(values.isna())[0]) + 2
                raise UsageError(
                    f'{path}: column "{self.label}" is empty in line {row}; every row needs a label'
                )
        found = set(texts(column)) | (set() if source is None else set(texts(source[self.label])))
        return classes_of(found, self.path, self.label)

    def _at_random(
        self, features: Any, ids: NDArray[np.int64], labels: NDArray[np.int64], rng: np.random.Generator
    ) -> dict[str, NDArray[np.int64]]:
        shares = {"validation": self.validation, "test": self.test}
        return stratified(ids, labels, shares, rng, groups=equal_rows(features))

    def _by_column(self, rows: Any) -> dict[str, NDArray[np.int64]]:
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

    def _scaler(self, features: Any) -> Any:
        from sklearn.compose import ColumnTransformer  # noqa: PLC0415 - a second to import
        from sklearn.impute import SimpleImputer  # noqa: PLC0415
        from sklearn.pipeline import make_pipeline  # noqa: PLC0415
        from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler  # noqa: PLC0415

        scalers = {"standard": StandardScaler(), "minmax": MinMaxScaler(), "none": "passthrough"}
        numbers = make_pipeline(
            SimpleImputer(strategy="median", keep_empty_features=True), scalers[self.scale]
        )
        words = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
        numeric = [column for column in features.columns if is_numeric(features[column])]
        other = [column for column in features.columns if column not in numeric]
        return ColumnTransformer([("numbers", numbers, numeric), ("words", words, other)])


def _codes(column: Any, classes: tuple[str, ...]) -> NDArray[np.int64]:
    position = {name: i for i, name in enumerate(classes)}
    return np.array([position[value] for value in texts(column)], dtype=np.int64)


def _names(rows: Any) -> str:
    return ", ".join(str(column) for column in rows.columns)


@hookimpl
def register_tasks(register: Callable[[str, type[Any]], None]) -> None:
    """Register `table`."""
    register("table", Table)
