"""Lossless reading of table files: CSV, TSV, Parquet, JSON lines."""

from __future__ import annotations

import csv
import gzip
import json
import warnings
import zlib
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

from ...engine.errors import UsageError

Kind = Literal["csv", "tsv", "parquet", "jsonl"]
KINDS: dict[str, Kind] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
LONGEST_FIELD = 2**31 - 1
"""Characters; the csv module's default limit is 131072."""


def kind_of(path: str, what: str = "table") -> Kind:
    """The file type by its suffix; all but Parquet may be gzipped (`.csv.gz`). Raises `UsageError` for an unknown suffix."""
    name = path.lower()
    found = KINDS.get(Path(name.removesuffix(".gz")).suffix)
    if found is None or (found == "parquet" and name.endswith(".gz")):
        raise UsageError(f"{path}: unknown kind of {what}; allowed: .csv, .tsv, .parquet, .jsonl")
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
        raise UsageError(f"{path}: reading Parquet needs pip install 'boostlora[parquet]'") from error
    except pd.errors.ParserWarning as warning:
        raise UsageError(f"{path}: not a readable table: rows have more fields than the header") from warning
    except (ValueError, OSError, EOFError, zlib.error, csv.Error) as error:
        raise UsageError(f"{path}: not a readable table: {error}") from error


def cells(path: str, **options: Any) -> Any:
    """A CSV or TSV file as a data frame; with `dtype=str, na_filter=False` every cell is its verbatim text.

    TSV has no quoting: `"` is an ordinary character. Whitespace around column names is stripped. Raises `UsageError` for a duplicate
    column name, and for a row with fewer fields than the header.
    """
    import pandas as pd  # noqa: PLC0415

    tabs = kind_of(path) == "tsv"
    frame = pd.read_csv(
        path,
        sep="\t" if tabs else ",",
        quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL,
        index_col=False,
        compression="gzip" if path.lower().endswith(".gz") else None,
        # Not in chunks: the dtype of a column must not depend on chunk boundaries.
        low_memory=False,
        **options,
    )
    frame.columns = _header(path, "\t" if tabs else ",")
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
    """A JSON lines file as a list of objects; empty lines are skipped. Raises `UsageError` naming the line or row at fault."""
    found = list[dict[str, Any]]()
    with _opened(path) as lines:
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
            found.append(row)
            if "\\ud" in line.lower():
                _check_characters(path, len(found), row)
    if not found:
        raise UsageError(f"{path}: not a readable table: it has no line")
    return found


def check_names(path: str, names: Sequence[str]) -> None:
    """Raise `UsageError` for a duplicate column name."""
    seen = set[str]()
    for name in names:
        if name in seen:
            raise UsageError(f'{path}: two columns are called "{name}"; rename one of them, or leave it out')
        seen.add(name)


def _opened(path: str) -> IO[str]:
    if path.lower().endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return Path(path).open(encoding="utf-8-sig", newline="")


def _header(path: str, separator: str) -> list[str]:
    """The column names; checks that every row has as many fields."""
    quoting = csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL
    before = csv.field_size_limit(LONGEST_FIELD)
    try:
        with _opened(path) as file:
            reader = csv.reader(file, delimiter=separator, quoting=quoting)
            rows = (row for row in reader if len(row) > 1 or (row and row[0].strip()))
            # pandas' names for columns without one.
            names = [name.strip() or f"Unnamed: {i}" for i, name in enumerate(next(rows, []))]
            check_names(path, names)
            for row in rows:
                if len(row) < len(names):
                    raise UsageError(
                        f"{path}: not a readable table: the row that ends in line {reader.line_num} has fewer fields "
                        f"than the header ({len(row)} of {len(names)})"
                    )
    finally:
        csv.field_size_limit(before)
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
