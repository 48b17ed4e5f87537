"""Table files as data frames in an order that does not depend on the file."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.errors import UsageError
from ._dialect import Dialect, separator_of
from ._files import PLAIN, cells_and_numbers, excel, json_lines, kind_of, parquet, readable
from ._numbers import has_decimal_commas, numbers_of

LARGE = re.compile(r"\s*[-+]?\d+\s*|")
"""Whole numbers, perhaps too large for int64, and gaps."""
WHOLE = re.compile(r"^(-?\d+)\.0+$")
MOST_CLASSES = 1000


def read(path: str, words: Collection[str] = (), dialect: Dialect = PLAIN) -> Any:
    """A table file as a data frame: numeric and boolean columns as such, all others as text.

    In a CSV or TSV file, a column is numeric if all its cells are, apart from missing ones (empty, NA, NaN, null and the like). In
    every other column only an empty cell is missing, and NA is text. Columns in `words` are labels: numeric only if no
    information is lost (`1`, `1.0`), else text (`01`, `1.50`, `1e3`, `NA`).
    """
    with readable(path):
        match kind_of(path):
            case "jsonl":
                rows = _json_frame(path)
            case "parquet":
                rows = parquet(path)
            case "excel":
                rows = excel(path)
            case _:
                rows = _written_frame(path, words, dialect)
    from pandas import DataFrame  # noqa: PLC0415 - half a second to import

    return DataFrame(
        {
            name: column if is_numeric(column) else plain_column(column, name in words)
            for name, column in rows.items()
        }
    )


def _json_frame(path: str) -> Any:
    from pandas import DataFrame  # noqa: PLC0415

    return DataFrame(json_lines(path))


def _written_frame(path: str, words: Collection[str], dialect: Dialect) -> Any:
    """Numeric columns as numbers; others, and those that a conversion would alter, as text."""
    import pandas as pd  # noqa: PLC0415 - half a second to import

    written, numbers = cells_and_numbers(path, dialect)
    sign = dialect.decimal or _decimal_sign(written, numbers, separator_of(path, dialect))
    found = {
        name: _column(written[name], column, sign, is_label=name in words) for name, column in numbers.items()
    }
    return pd.DataFrame(found)


def _column(written: Any, numbers: Any, sign: str, *, is_label: bool) -> Any:
    from pandas import Series  # noqa: PLC0415

    numeric = is_numeric(numbers)
    if numeric and not is_label and sign == "." and numbers.notna().any():
        return numbers
    text = written.astype(object)
    if is_label:
        kept = numeric and _is_lossless(numbers, text)
        return numbers if kept else text.mask(text == "", None)
    # A decimal comma makes 1.234 a grouped thousand; 0.5 and 1.5 remain what they are.
    if not numeric or (sign == "," and text.str.contains(".", regex=False).any()):
        values = numbers_of(text, sign)
        if values is not None:
            return Series(values, index=text.index)
    if numeric and (numbers.notna().any() or text.nunique() <= 1):
        return numbers
    large = all(map(LARGE.fullmatch, text.tolist()))
    return text.mask(text == "").astype("float64") if large else text.mask(text == "", None)


def _decimal_sign(written: Any, numbers: Any, separator: str) -> str:
    """A comma if some column's numbers are written with one, else a point."""
    unread = (name for name, column in numbers.items() if not is_numeric(column))
    return "," if any(has_decimal_commas(written[name], separator) for name in unread) else "."


def _is_lossless(column: Any, written: Any) -> bool:
    """Whether the numbers, written as text, equal the cells up to `.0` and surrounding whitespace."""
    return all(
        number == WHOLE.sub(r"\1", text.strip()) for number, text in zip(texts(column), written, strict=True)
    )


def plain_column(column: Any, is_label: bool) -> Any:
    """An object column as text with None for missing values; as float64 if all are numbers, such as ones too large for int64."""
    from pandas import Series  # noqa: PLC0415

    if holds_texts(column):
        return filled_texts(column, None)
    values = [None if gap else v for v, gap in zip(column.astype(object), column.isna(), strict=True)]
    there = [v for v in values if v is not None]
    if there and not is_label and all(type(v) in {int, float} for v in there):
        return Series([np.nan if v is None else float(v) for v in values], index=column.index)
    return Series([None if v is None else text_of(v) for v in values], index=column.index, dtype=object)


def holds_texts(column: Any) -> bool:
    """Whether every cell that is not missing is a text."""
    from pandas.api.types import infer_dtype  # noqa: PLC0415 - half a second to import

    return infer_dtype(column, skipna=True) == "string"


def filled_texts(column: Any, gap: str | None) -> Any:
    """A column as texts with `gap` where a value is missing; 1.0 is "1", since integers with gaps are stored as floats."""
    from pandas import Series, factorize  # noqa: PLC0415

    gaps = column.isna().to_numpy()
    if holds_texts(column):
        values = column.to_numpy(object, copy=True)
    elif is_numeric(column):
        places, different = factorize(column.to_numpy())
        values = np.array([*map(text_of, different.tolist()), ""], dtype=object)[places]
    else:
        values = np.array([*map(text_of, column.tolist()), ""], dtype=object)[:-1]
    values[gaps] = gap
    return Series(values, index=column.index, dtype=object)


def is_numeric(column: Any) -> bool:
    """Whether a column is numeric or boolean."""
    from pandas.api.types import is_numeric_dtype  # noqa: PLC0415

    return is_numeric_dtype(column)


def plain(features: Any) -> Any:
    """Columns as float64 with NaN for missing values, or as text with ""."""
    from pandas import DataFrame  # noqa: PLC0415

    return DataFrame(
        {
            name: column.astype("float64") if is_numeric(column) else filled_texts(column, "")
            for name, column in features.items()
        }
    )


def by_id(rows: Any) -> tuple[Any, NDArray[np.int64]]:
    """Rows sorted by id, and the ids: sums over rows then round identically whatever the order of the file."""
    ids = row_ids(rows)
    order = np.argsort(ids, kind="stable")
    return rows.iloc[order], ids[order]


def row_ids(rows: Any) -> NDArray[np.int64]:
    """An id for every row `(n,)`: a hash of its content and, for equal rows, their count; not of its position."""
    from pandas import DataFrame  # noqa: PLC0415
    from pandas.core.util.hashing import hash_pandas_object  # noqa: PLC0415 - pandas.util's own is untyped

    content = hash_pandas_object(rows, index=False)
    copies = content.groupby(content).cumcount()
    numbered = DataFrame({"row": content, "copy": copies})
    return hash_pandas_object(numbered, index=False).to_numpy().view(np.int64)


def equal_rows(features: Any) -> NDArray[np.int64]:
    """Group numbers `(n,)`, the same for rows of equal content."""
    from pandas.core.util.hashing import hash_pandas_object  # noqa: PLC0415

    return np.unique(hash_pandas_object(features, index=False).to_numpy(), return_inverse=True)[1]


def texts(column: Any) -> list[str]:
    """Labels as text, 1.0 as "1": integers may be stored as floats in one table and not in another."""
    return [text_of(v) for v in column.tolist()]


def text_of(value: Any) -> str:
    """A value as text, integers without `.0`."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def class_numbers(cells: Iterable[str], classes: Sequence[str]) -> NDArray[np.int64]:
    """Class numbers of labels `(n,)`, -1 for one that is not among the classes; `1.0` is `1`."""
    position = {name: i for i, name in enumerate(classes)}
    found = [position.get(cell, position.get(WHOLE.sub(r"\1", cell), -1)) for cell in cells]
    return np.array(found, dtype=np.int64)


def classes_of(labels: Collection[str], where: object, column: str) -> tuple[str, ...]:
    """The distinct labels of a column, sorted. Raises `UsageError` for fewer than 2 classes, or too many to be a class label."""
    if len(labels) < 2:
        raise UsageError(
            f'{where}: column "{column}" needs at least 2 different values to tell apart, and has {len(labels)}'
        )
    if len(labels) > MOST_CLASSES:
        raise UsageError(
            f'{where}: column "{column}" has {len(labels)} different values; it is not a class label'
        )
    return tuple(sorted(labels))
