"""Rows of a table as numbers: fitted on the training rows, then applied to all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from ....engine.contracts import InputColumn
from ....engine.errors import UsageError
from .._frames import is_numeric, text_of
from .columns import MAX_CATEGORIES, ColumnUse
from .dates import date_format, date_numbers

Scale = Literal["standard", "minmax", "none"]
TEXT_INPUTS = 30
"""Inputs of a column of free text: leading components of its TF-IDF matrix, as in latent semantic analysis."""
LARGEST = 1e150
"""Numbers beyond overflow when they are squared."""
TRUE = frozenset({"true", "yes", "t", "y", "1"})


@attrs.frozen(kw_only=True, eq=False)
class TableEncoder:
    """Columns to inputs: a fitted scikit-learn `ColumnTransformer` over columns that were made numbers or texts."""

    uses: tuple[ColumnUse, ...]
    formats: dict[str, str]
    """The format of every column of dates."""
    transformer: Any
    columns: tuple[InputColumn, ...]
    numeric: frozenset[str]
    """Columns that held numbers when they were fitted, whatever they are used as."""

    @classmethod
    def fit(cls, rows: Any, uses: Sequence[ColumnUse], scale: Scale) -> TableEncoder:
        """Fit medians, scales, categories and vocabularies on rows."""
        formats = {use.name: date_format(_known(rows[use.name])) for use in uses if use.kind == "date"}
        numeric = frozenset(use.name for use in uses if is_numeric(rows[use.name]))
        draft = cls(uses=tuple(uses), formats=formats, transformer=None, columns=(), numeric=numeric)
        plain = draft.plain(rows)
        transformer = _transformer(uses, plain, scale)
        with _one_thread():
            transformer.fit(plain)
        columns = tuple(_described(use, transformer) for use in uses)
        return attrs.evolve(draft, transformer=transformer, columns=columns)

    @property
    def width(self) -> int:
        """Number of inputs."""
        return sum(column.width for column in self.columns)

    def encode(self, rows: Any) -> NDArray[np.float64]:
        """Rows as inputs `(n, width)`. Raises `UsageError` for a missing column, or one of another type."""
        with _one_thread():
            return np.asarray(self.transformer.transform(self.plain(rows)), dtype=np.float64)

    def plain(self, rows: Any) -> Any:
        """The used columns: float64 with NaN for missing values, or text with "" for them; a date as several numbers."""
        from pandas import DataFrame  # noqa: PLC0415 - half a second to import

        found = dict[str, Any]()
        for use in self.uses:
            if use.kind == "drop":
                continue
            if use.name not in rows.columns:
                raise UsageError(f'no column "{use.name}"; there are: {", ".join(map(str, rows.columns))}')
            column = rows[use.name]
            if use.kind == "date":
                parts = date_numbers(_texts(column), self.formats[use.name])
                found |= {_part(use.name, part): values for part, values in parts.items()}
            else:
                found[use.name] = _column(use, column)
        return DataFrame(found, index=rows.index)


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
    from pandas import Series  # noqa: PLC0415

    values = [
        "" if gap else text_of(v) for v, gap in zip(column.tolist(), column.isna().tolist(), strict=True)
    ]
    return Series(values, index=column.index, dtype=object)


def _known(column: Any) -> Any:
    return column.dropna().astype(str)


def _part(name: str, part: str) -> str:
    return f"{name} ({part})"


def _transformer(uses: Sequence[ColumnUse], plain: Any, scale: Scale) -> Any:
    """One step a column, so that each is fitted, and described, by itself."""
    from sklearn.compose import ColumnTransformer  # noqa: PLC0415 - a second to import

    steps = list[tuple[str, Any, Any]]()
    for use in uses:
        parts = [name for name in plain.columns if use.kind == "date" and name.startswith(f"{use.name} (")]
        match use.kind:
            case "number" | "boolean" | "date":
                columns = parts or [use.name]
                steps.append((use.name, _numbers(plain[columns], scale), columns))
            case "category":
                steps.append((use.name, _categories(plain[use.name]), [use.name]))
            case "text":
                steps.append((use.name, _free_text(plain[use.name]), use.name))
            case "drop":
                pass
    return ColumnTransformer(steps)


def _numbers(values: Any, scale: Scale) -> Any:
    """Missing values become the median, and where there are any an input says so."""
    from sklearn.impute import SimpleImputer  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import MinMaxScaler, StandardScaler  # noqa: PLC0415

    gaps = bool(values.isna().any().any() and not values.isna().all().all())
    imputer = SimpleImputer(strategy="median", keep_empty_features=True, add_indicator=gaps)
    scaler = {"standard": StandardScaler(), "minmax": MinMaxScaler(), "none": "passthrough"}[scale]
    return make_pipeline(imputer, scaler)


def _categories(values: Any) -> Any:
    """An input for every value; of more than `MAX_CATEGORIES`, the rarest share one. An unknown value is all zeros, or the rare one."""
    from sklearn.preprocessing import OneHotEncoder  # noqa: PLC0415

    if values.nunique() <= MAX_CATEGORIES:
        return OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return OneHotEncoder(
        handle_unknown="infrequent_if_exist", max_categories=MAX_CATEGORIES, sparse_output=False
    )


def _free_text(values: Any) -> Any:
    """TF-IDF of character n-grams within words, reduced by a truncated SVD (latent semantic analysis)."""
    from sklearn.decomposition import TruncatedSVD  # noqa: PLC0415
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415

    words = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), max_features=5000)
    found = len(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), max_features=5000).fit(values).vocabulary_
    )
    inputs = max(1, min(TEXT_INPUTS, found - 1, len(values) - 1))
    return make_pipeline(words, TruncatedSVD(inputs, algorithm="arpack", random_state=0))


def _described(use: ColumnUse, transformer: Any) -> InputColumn:
    if use.kind == "drop":
        return InputColumn(name=use.name, kind="left out", width=0, note=use.reason)
    step = transformer.named_transformers_[use.name]
    width = transformer.output_indices_[use.name].stop - transformer.output_indices_[use.name].start
    gaps = step[0].indicator_ if use.kind in {"number", "boolean", "date"} else None
    notes = [use.reason, "with an input for gaps" if gaps is not None and gaps.features_.size else ""]
    return InputColumn(name=use.name, kind=use.kind, width=width, note="; ".join(filter(None, notes)))


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
