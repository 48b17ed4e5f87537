"""Table files as data frames: read, checked, put in an order of their own."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.errors import UsageError


def read(path: str) -> Any:
    """A table file as a data frame, columns that hold no numbers as plain text."""
    import pandas as pd  # noqa: PLC0415 - half a second to import

    suffix = Path(path).suffix.lower()
    try:
        if suffix in {".csv", ".tsv"}:
            # In one piece: the kind of a column must not depend on which rows share a chunk.
            # Nor may a surplus field make the first column into names of rows.
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)
                rows = pd.read_csv(
                    path, sep="\t" if suffix == ".tsv" else ",", low_memory=False, index_col=False
                )
        elif suffix in {".parquet", ".pq"}:
            rows = pd.read_parquet(path).reset_index(drop=True)
        elif suffix in {".jsonl", ".ndjson"}:
            rows = pd.DataFrame(json_lines(path))
        else:
            raise UsageError(f"{path}: unknown kind of table; allowed: .csv, .tsv, .parquet, .jsonl")
    except ImportError as error:
        raise UsageError(f"{path}: reading Parquet needs pip install 'boostlora[parquet]'") from error
    except pd.errors.ParserWarning as warning:
        raise UsageError(f"{path}: not a readable table: rows have more fields than the header") from warning
    except (ValueError, OSError) as error:
        raise UsageError(f"{path}: not a readable table: {error}") from error
    rows.columns = [str(column) for column in rows.columns]
    for column in rows.columns:
        if not is_numeric(rows[column]):
            values = zip(rows[column].astype(object), rows[column].isna(), strict=True)
            texts = [None if gap else str(value) for value, gap in values]
            rows[column] = pd.Series(texts, index=rows.index, dtype=object)
    return rows


def json_lines(path: str) -> list[dict[str, Any]]:
    """A file of one JSON object a line; empty lines do not count. Raises `UsageError` naming the line at fault."""
    found = list[dict[str, Any]]()
    with Path(path).open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row: Any = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise UsageError(f"{path}: line {number} is no JSON: {error}") from error
            if not isinstance(row, dict):
                raise UsageError(f"{path}: line {number} is no JSON object")
            found.append(row)
    if not found:
        raise UsageError(f"{path}: not a readable table: it has no line")
    return found


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


def texts(column: Any) -> list[str]:
    """Labels as text, 1.0 as "1": one table may keep whole numbers as floats that another does not."""
    return [str(int(v)) if isinstance(v, float) and v.is_integer() else str(v) for v in column.tolist()]


def check_finite(path: str, features: Any) -> None:
    """Refuse a column with an infinite number. Raises `UsageError` naming it and the line."""
    for name, column in features.items():
        infinite = np.isinf(column.to_numpy(np.float64, na_value=np.nan)) if is_numeric(column) else [False]
        if any(infinite):
            raise UsageError(f'{path}: column "{name}" is infinite in line {np.flatnonzero(infinite)[0] + 2}')
