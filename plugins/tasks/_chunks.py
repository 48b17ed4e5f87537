"""Table files in chunks of rows, so that no file has to fit into memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from ...engine.errors import UsageError
from ._dialect import Dialect, fields_of, separator_of
from ._files import PLAIN, check_names, excel, header, json_rows, kind_of, readable

ROWS = 10_000
"""Rows of a chunk."""
UNNAMED_INDEX = "__index_level_"


def chunks(path: str, dialect: Dialect = PLAIN, size: int = ROWS) -> Iterator[Any]:
    """Data frames of at most `size` rows, in the order of the file; their index counts its rows from 0.

    Cells of CSV and TSV files are verbatim text. Excel workbooks are read whole. Raises `UsageError` for a file that is not readable or
    has no row.
    """
    with readable(path):
        parts = _parts(path, dialect, size)
    empty = True
    while True:
        with readable(path):  # around each step: the context must not stay open while the caller works
            part = next(parts, None)
        if part is None:
            break
        empty = False
        yield part
    if empty:
        raise UsageError(f"{path}: not a readable table: it has no row")


def _parts(path: str, dialect: Dialect, size: int) -> Iterator[Any]:
    match kind_of(path):
        case "jsonl":
            return _json(path, size)
        case "parquet":
            return _parquet(path, size)
        case "excel":
            return _excel(path, size)
        case _:
            return _written(path, dialect, size)


def _written(path: str, dialect: Dialect, size: int) -> Iterator[Any]:
    separator = separator_of(path, dialect)
    names = header(
        path, separator, dialect
    )  # reads the file once to its end, so that a short row is found before any work
    rows = fields_of(path, separator, dialect)
    next(rows, None)
    first = 0
    while part := list(islice(rows, size)):
        for line, row in part:
            if len(row) > len(names):
                raise UsageError(
                    f"{path}: not a readable table: the row that ends in line {line} has more fields than the header "
                    f"({len(row)}, not {len(names)})"
                )
        yield _frame([row for _, row in part], names, first)
        first += len(part)


def _json(path: str, size: int) -> Iterator[Any]:
    names = list(dict.fromkeys(name for row in json_rows(path) for name in row))
    rows, first = json_rows(path), 0
    while part := list(islice(rows, size)):
        yield _frame([[row.get(name) for name in names] for row in part], names, first)
        first += len(part)


def _parquet(path: str, size: int) -> Iterator[Any]:
    from pandas import RangeIndex  # noqa: PLC0415 - half a second to import
    from pyarrow import Table  # noqa: PLC0415
    from pyarrow.parquet import ParquetFile  # noqa: PLC0415

    with ParquetFile(path) as file:
        names = [name for name in file.schema_arrow.names if not name.startswith(UNNAMED_INDEX)]
        check_names(path, names)
        first = 0
        for batch in file.iter_batches(batch_size=size, columns=names):
            frame: Any = Table.from_batches([batch]).to_pandas(ignore_metadata=True)
            frame.index = RangeIndex(first, first + len(frame))
            first += len(frame)
            yield frame


def _excel(path: str, size: int) -> Iterator[Any]:
    frame = excel(path)
    for first in range(0, len(frame), size):
        yield frame.iloc[first : first + size]


def _frame(rows: list[list[Any]], names: list[str], first: int) -> Any:
    from pandas import DataFrame, RangeIndex  # noqa: PLC0415

    return DataFrame(rows, columns=names, index=RangeIndex(first, first + len(rows)), dtype=object)
