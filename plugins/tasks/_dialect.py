"""How a text file of a table is written: separator, encoding, decimal sign, compression."""

from __future__ import annotations

import bz2
import csv
import gzip
import lzma
import re
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

import attrs

from ...engine.errors import UsageError

OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
"""Compressed files by their suffix."""
SEPARATORS = (",", ";", "\t", "|")
BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
LONGEST_FIELD = 2**31 - 1
"""Characters; the csv module's default limit is 131072."""


@attrs.frozen(kw_only=True)
class Dialect:
    """What a spec says of a text file; what is empty is found in the file."""

    separator: str = ""
    encoding: str = "utf-8"
    decimal: str = ""


def suffix_of(path: str) -> str:
    """The suffix below that of a compression: `.csv` of `rows.csv.gz`."""
    name = Path(path.lower())
    return Path(name.stem).suffix if name.suffix in OPENERS else name.suffix


def opened(path: str, encoding: str = "utf-8") -> IO[str]:
    """The file as text, decompressed, without a byte order mark. Raises `UsageError` for an unknown encoding."""
    with compressed(path, "rb") as file:
        mark = BYTE_ORDER_MARKS.get(file.read(2))
    name = mark or ("utf-8-sig" if encoding.lower().replace("_", "-") in {"utf-8", "utf8"} else encoding)
    try:
        return compressed(path, "rt", encoding=name, newline="")
    except LookupError as error:
        raise UsageError(
            f'task.encoding: "{encoding}" is no encoding; use utf-8, cp1252, latin-1 or utf-16'
        ) from error


def compressed(path: str, mode: str, **options: Any) -> Any:
    """The file, decompressed."""
    return OPENERS.get(Path(path.lower()).suffix, open)(path, mode, **options)


@contextmanager
def decodable(path: str, encoding: str) -> Generator[None]:
    """A context in which bytes that the encoding cannot hold raise `UsageError`, naming the option."""
    try:
        yield
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise UsageError(
            f"{path}: not {encoding}: it has the byte 0x{byte:02x}, which {encoding} does not allow there. Set task.encoding, for files "
            'from Western Europe "cp1252" or "latin-1"'
        ) from error


def separator_of(path: str, dialect: Dialect) -> str:
    """The separator that the spec names, or the one that occurs most often in the first line outside quotes; a tab in `.tsv`."""
    if suffix_of(path) == ".tsv":
        return "\t"
    if dialect.separator:
        return {"tab": "\t", "\\t": "\t"}.get(dialect.separator, dialect.separator)
    with decodable(path, dialect.encoding), opened(path, dialect.encoding) as file:
        first = next((line for line in file if line.strip()), "")
    counts = Counter(re.sub(r'"[^"]*"', "", first))
    best = max(SEPARATORS, key=lambda sign: counts[sign])  # the first, on a tie
    return best if counts[best] else ","


def fields_of(path: str, separator: str, dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """Rows as lists of fields, with the number of the line in which each ends; lines of nothing but space are skipped."""
    with decodable(path, dialect.encoding), opened(path, dialect.encoding) as file:
        yield from fields_in(file, path, separator)


def fields_in(file: Iterable[str], path: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The same for the content of a file that is open."""
    before = csv.field_size_limit(LONGEST_FIELD)
    try:
        reader = csv.reader(file, delimiter=separator, quoting=quoting_of(path))
        for row in reader:
            if len(row) > 1 or (row and row[0].strip()):
                yield reader.line_num, row
    finally:
        csv.field_size_limit(before)


def quoting_of(path: str) -> Literal[0, 3]:
    """How the csv module and pandas read quotes: TSV has none."""
    return csv.QUOTE_NONE if suffix_of(path) == ".tsv" else csv.QUOTE_MINIMAL
