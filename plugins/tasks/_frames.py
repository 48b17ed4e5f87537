"""Table files as data frames: read, checked, put in an order of their own."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.errors import UsageError
from ._files import cells, json_lines, kind_of, parquet, readable

WHOLE = re.compile(r"^(-?\d+)\.0+$")


def read(path: str, words: Collection[str] = ()) -> Any:
    """A table file as a data frame: columns of numbers or truth values as such, all others as the text that was written.

    In a comma- or tab-separated file, a column is one of numbers when all its cells are, but for those that are empty or say NA,
    NaN, null and the like: these are gaps. In every other column only an empty cell is a gap, and NA is a word. Columns named in
    `words` are labels: numbers only where these say all that was written (`1`, `1.0`), else text (`01`, `1.50`, `1e3`, `NA`).
    """
    with readable(path):
        match kind_of(path):
            case "jsonl":
                rows = _json_frame(path)
            case "parquet":
                rows = parquet(path)
            case _:
                rows = _written_frame(path, words)
    for column in rows.columns:
        if not is_numeric(rows[column]):
            rows[column] = _plain_column(rows[column], column in words)
    return rows


def _json_frame(path: str) -> Any:
    from pandas import DataFrame  # noqa: PLC0415

    return DataFrame(json_lines(path))


def _written_frame(path: str, words: Collection[str]) -> Any:
    """Columns of numbers, and as text those that are none, or whose numbers would lose what was written."""
    numbers, written = cells(path), cells(path, dtype=str, na_filter=False)
    for name, column in numbers.items():
        said = written[name].astype(object)
        if name in words:
            kept = is_numeric(column) and _says_all(column, said)
        else:
            kept = is_numeric(column) and (column.notna().any() or said.nunique() <= 1)
        if kept:
            continue
        large = name not in words and said.str.fullmatch(r"\s*[-+]?\d+\s*|").all()
        numbers[name] = said.mask(said == "").astype("float64") if large else said.mask(said == "", None)
    return numbers


def _says_all(column: Any, written: Any) -> bool:
    """Whether numbers as text are what was written, but for `.0` and the space around."""
    return all(
        said == WHOLE.sub(r"\1", text.strip()) for said, text in zip(texts(column), written, strict=True)
    )


def _plain_column(column: Any, is_label: bool) -> Any:
    """A column of anything as text with None for gaps; as float64 where all of it are numbers, such as too large for int64."""
    from pandas import Series  # noqa: PLC0415

    values = [None if gap else v for v, gap in zip(column.astype(object), column.isna(), strict=True)]
    there = [v for v in values if v is not None]
    if there and not is_label and all(type(v) in {int, float} for v in there):
        return Series([np.nan if v is None else float(v) for v in values], index=column.index)
    return Series([None if v is None else text_of(v) for v in values], index=column.index, dtype=object)


def is_numeric(column: Any) -> bool:
    """Whether a column holds numbers or truth values."""
    from pandas.api.types import is_numeric_dtype  # noqa: PLC0415

    return is_numeric_dtype(column)


def plain(features: Any) -> Any:
    """Columns as float64 with NaN for gaps, or as text with "" for gaps."""
    from pandas import DataFrame, Series  # noqa: PLC0415

    return DataFrame(
        {
            name: column.astype("float64")
            if is_numeric(column)
            else Series(["" if v is None else v for v in column], index=column.index, dtype=object)
            for name, column in features.items()
        }
    )


def by_id(rows: Any) -> tuple[Any, NDArray[np.int64]]:
    """Rows in the order of their ids, with the ids: sums over rows round alike whatever the order of the file."""
    ids = row_ids(rows)
    order = np.argsort(ids, kind="stable")
    return rows.iloc[order], ids[order]


def row_ids(rows: Any) -> NDArray[np.int64]:
    """An id for every row from what it says, not from where it stands; equal rows are counted."""
    from pandas import DataFrame  # noqa: PLC0415
    from pandas.core.util.hashing import hash_pandas_object  # noqa: PLC0415 - pandas.util's own is untyped

    content = hash_pandas_object(rows, index=False)
    copies = content.groupby(content).cumcount()
    numbered = DataFrame({"row": content, "copy": copies})
    return hash_pandas_object(numbered, index=False).to_numpy().view(np.int64)


def equal_rows(features: Any) -> NDArray[np.int64]:
    """Numbers `(n,)` that are the same for rows that say the same."""
    from pandas.core.util.hashing import hash_pandas_object  # noqa: PLC0415

    return np.unique(hash_pandas_object(features, index=False).to_numpy(), return_inverse=True)[1]


def texts(column: Any) -> list[str]:
    """Labels as text, 1.0 as "1": one table may keep whole numbers as floats that another does not."""
    return [text_of(v) for v in column.tolist()]


def text_of(value: Any) -> str:
    """A value as text, whole numbers without `.0`."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def check_finite(path: str, features: Any) -> None:
    """Refuse a column with an infinite number. Raises `UsageError` naming it and the line."""
    for name, column in features.items():
        infinite = np.isinf(column.to_numpy(np.float64, na_value=np.nan)) if is_numeric(column) else [False]
        if any(infinite):
            raise UsageError(f'{path}: column "{name}" is infinite in line {np.flatnonzero(infinite)[0] + 2}')
