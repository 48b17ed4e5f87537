"""Lossless reading of table files: CSV, TSV, Excel, Parquet, JSON lines."""

from __future__ import annotations

import csv
import io
import json
import lzma
import warnings
import zlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from ...engine.errors import UsageError
from ._dialect import (
    Dialect,
    decodable,
    fields_in,
    fields_of,
    opened,
    quoting_of,
    separator_of,
    suffix_of,
)

Kind = Literal["csv", "tsv", "excel", "parquet", "jsonl"]
KINDS: dict[str, Kind] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".xlsx": "excel",
}
ALLOWED = ".csv, .tsv, .xlsx, .parquet, .jsonl"
PLAIN = Dialect()


def kind_of(path: str, what: str = "table") -> Kind:
    """The file type by its suffix; text files may be compressed (`.csv.gz`, `.bz2`, `.xz`). Raises `UsageError` for an unknown suffix."""
    found = KINDS.get(suffix_of(path))
    binary = found in {"parquet", "excel"} and suffix_of(path) != Path(path.lower()).suffix
    if found is None or binary:
        raise UsageError(
            f"{path}: unknown kind of {what}; allowed: {ALLOWED}, and of the text files .gz, .bz2 and .xz"
        )
    return found


@contextmanager
def readable(path: str) -> Generator[None]:
    """A context that turns library errors for an unreadable file into `UsageError`."""
    import pandas as pd  # noqa: PLC0415 - half a second to import

    try:
        with warnings.catch_warnings():
            # pandas would drop a surplus field, or use the first column as index.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            yield
    except ImportError as error:
        extra = "excel" if kind_of(path) == "excel" else "parquet"
        raise UsageError(f"{path}: reading this file needs pip install 'boostlora[{extra}]'") from error
    except pd.errors.ParserWarning as warning:
        raise UsageError(f"{path}: not a readable table: rows have more fields than the header") from warning
    except (ValueError, OSError, EOFError, zlib.error, lzma.LZMAError, csv.Error) as error:
        raise UsageError(f"{path}: not a readable table: {error}") from error


def cells(path: str, dialect: Dialect = PLAIN) -> Any:
    """A CSV or TSV file as a data frame of texts: every cell as it is written.

    TSV has no quoting: `"` is an ordinary character. Whitespace around column names is stripped. Raises `UsageError` for a duplicate
    column name, for a row with fewer fields than the header, and for bytes that the encoding does not allow.
    """
    return _parsed(path, dialect, [{"dtype": str, "na_filter": False}])[0]


def cells_and_numbers(path: str, dialect: Dialect = PLAIN) -> list[Any]:
    """The cells, and the same with numeric columns as pandas reads them; the file is read once."""
    return _parsed(path, dialect, [{"dtype": str, "na_filter": False}, {}])


def _parsed(path: str, dialect: Dialect, options: Sequence[dict[str, Any]]) -> list[Any]:
    """The content of a text file as pandas reads it with each of several options."""
    import pandas as pd  # noqa: PLC0415

    separator = separator_of(path, dialect)
    with decodable(path, dialect.encoding), opened(path, dialect.encoding) as file:
        content = io.StringIO(file.read(), newline="")
    frames, names = list[Any](), list[str]()
    for option in options:
        content.seek(0)
        frame = pd.read_csv(
            content,
            sep=separator,
            quoting=quoting_of(path),
            index_col=False,
            # Not in chunks: the dtype of a column must not depend on chunk boundaries.
            low_memory=False,
            **option,
        )
        if not frames:
            content.seek(0)
            names = _header_of(fields_in(content, path, separator), path)
        frame.columns = names
        frames.append(frame)
    return frames


def excel(path: str) -> Any:
    """The only sheet of a workbook as a data frame. Raises `UsageError` for several sheets, and for a duplicate column name."""
    import pandas as pd  # noqa: PLC0415

    with pd.ExcelFile(path) as book:
        if len(book.sheet_names) != 1:
            names = ", ".join(str(name) for name in book.sheet_names)
            raise UsageError(
                f"{path}: it has {len(book.sheet_names)} sheets ({names}); save the one to use as a file of its own"
            )
        # Without a header first: pandas renames the second of two equal names.
        raw: Any = pd.read_excel(book, header=None, nrows=1)
        frame: Any = pd.read_excel(book)
    if len(raw):
        check_names(path, [str(name).strip() for name in raw.iloc[0].dropna()])
    frame.columns = [str(name).strip() for name in frame.columns]
    return frame


def parquet(path: str) -> Any:
    """A Parquet file as a data frame; a named index becomes a column, an unnamed one is dropped."""
    import pandas as pd  # noqa: PLC0415
    from pyarrow.parquet import read_schema  # noqa: PLC0415

    check_names(path, read_schema(path).names)
    frame = pd.read_parquet(path)
    named = [
        (str(name), frame.index.get_level_values(i))
        for i, name in enumerate(frame.index.names)
        if name is not None
    ]
    frame = frame.reset_index(drop=True)
    names = [*(name for name, _ in named), *map(str, frame.columns)]
    check_names(path, names)
    frame.columns = names[len(named) :]
    for i, (name, values) in enumerate(named):
        frame.insert(i, name, pd.Series(values))
    return frame


def json_lines(path: str) -> list[dict[str, Any]]:
    """A JSON lines file as a list of objects. Raises `UsageError` naming the line or row at fault."""
    found = list(json_rows(path))
    if not found:
        raise UsageError(f"{path}: not a readable table: it has no line")
    return found


def json_rows(path: str) -> Iterator[dict[str, Any]]:
    """The objects of a JSON lines file, one by one; empty lines are skipped."""
    count = 0
    with decodable(path, "utf-8"), opened(path) as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row: Any = json.loads(line, object_pairs_hook=_unique_keys)
            except _DuplicateKeyError as duplicate:
                raise UsageError(f'{path}: line {number} has two values of "{duplicate}"') from duplicate
            except (ValueError, RecursionError) as error:
                raise UsageError(f"{path}: line {number} is no JSON: {error}") from error
            if not isinstance(row, dict):
                raise UsageError(f"{path}: line {number} is no JSON object")
            count += 1
            if "\\ud" in line.lower():
                _check_characters(path, count, row)
            yield row


def check_names(path: str, names: Sequence[str]) -> None:
    """Raise `UsageError` for a duplicate column name."""
    seen = set[str]()
    for name in names:
        if name in seen:
            raise UsageError(f'{path}: two columns are called "{name}"; rename one of them, or leave it out')
        seen.add(name)


def header(path: str, separator: str, dialect: Dialect) -> list[str]:
    """The column names; checks that every row has as many fields."""
    return _header_of(fields_of(path, separator, dialect), path)


def _header_of(rows: Iterator[tuple[int, list[str]]], path: str) -> list[str]:
    # pandas' names for columns without one.
    names = [name.strip() or f"Unnamed: {i}" for i, name in enumerate(next(rows, (0, []))[1])]
    check_names(path, names)
    for line, row in rows:
        if len(row) < len(names):
            raise UsageError(
                f"{path}: not a readable table: the row that ends in line {line} has fewer fields than the header "
                f"({len(row)} of {len(names)})"
            )
    return names


class _DuplicateKeyError(Exception):
    """A key that occurs twice in a JSON object."""


def _unique_keys(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found = dict[str, Any]()
    for name, value in pairs:
        if name in found:
            raise _DuplicateKeyError(name)
        found[name] = value
    return found


def _check_characters(path: str, number: int, row: dict[str, Any]) -> None:
    r"""Raise `UsageError` for a lone surrogate (`\ud83d`), which cannot be encoded."""
    for name, value in row.items():
        try:
            json.dumps([name, value], ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            half = f"\\u{ord(error.object[error.start]):04x}"
            shown = name.encode("ascii", "backslashreplace").decode() if half in ascii(name) else name
            raise UsageError(
                f'{path}: column "{shown}" holds half a character ({half}, a lone surrogate) in row {number}'
            ) from error
