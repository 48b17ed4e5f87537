"""What every column of a table is used as: number, boolean, category, date, text, or nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import attrs
import numpy as np

from ....engine.errors import UsageError
from .._frames import is_numeric, text_of
from .dates import date_format
from .steps import MAX_CATEGORIES

Kind = Literal["number", "boolean", "category", "date", "text", "drop"]
KINDS: Mapping[str, Kind] = {"numbers": "number", "categories": "category", "dates": "date", "texts": "text"}
"""Kinds by the options that name their columns."""

NEAR_UNIQUE = 0.9
"""Share of different values from which a column of text identifies its row."""
FEW_ROWS = 20
"""Rows below which nothing is said to be unique."""
WORDS = 3.0
"""Mean number of words from which a column is free text."""
TRUTHS = ({"true", "false"}, {"yes", "no"}, {"t", "f"}, {"y", "n"})
IDENTIFIER = re.compile(
    r"(?i:(^|[_\W])(id|uuid|guid|key|index|row|rownames|row_names)$)|^Unnamed: \d+$|[a-z]Id$|[a-z]ID$"
)
"""Names of columns that number rows, such as `id`, `customer_id`, `customerId`, and that of an index without a name."""


@attrs.frozen
class ColumnUse:
    """A column, what it is used as, and why, where that is not obvious."""

    name: str
    kind: Kind
    reason: str = ""
    format: str = ""
    """That of a column of dates."""


def column_uses(
    features: Any, said: Mapping[str, Kind], path: str, source: tuple[str, Any] | None = None
) -> tuple[ColumnUse, ...]:
    """The use of every column of a data frame: as the spec says, else by its content.

    `source` is a second table with the same columns, and its path: both are read by one date format. Raises `UsageError` for a column that
    cannot be used as the spec says, and for two tables that write their dates differently.
    """
    found = list[ColumnUse]()
    for name, column in features.items():
        if kind := said.get(str(name)):
            form = _check_said(path, str(name), column, kind)
            found.append(ColumnUse(str(name), kind, "as the spec says", form))
        else:
            found.append(_inferred(str(name), column))
    if source is None:
        return tuple(found)
    return tuple(_of_both(use, features, path, *source) if use.kind == "date" else use for use in found)


def _of_both(use: ColumnUse, features: Any, path: str, source_path: str, source: Any) -> ColumnUse:
    """A column of dates with the format that reads both tables."""
    from pandas import concat  # noqa: PLC0415 - half a second to import

    known = concat([table[use.name].dropna().map(text_of).astype(str) for table in (features, source)])
    form = date_format(known, digits=True)
    if not form:
        raise UsageError(
            f'{source_path}: column "{use.name}" is not written in a date format that also reads {path}; write both alike, or add the column to task.drop'
        )
    return attrs.evolve(use, format=form)


def _inferred(name: str, column: Any) -> ColumnUse:
    known = column.dropna()
    if len(known) == 0:
        return ColumnUse(name, "drop", "it is empty")
    count = int(known.nunique())
    if count == 1 and len(known) == len(column):
        return ColumnUse(name, "drop", "all rows have the same value")
    if is_numeric(column):
        if _is_boolean(column):
            return ColumnUse(name, "boolean")
        if len(column) >= FEW_ROWS and _numbers_rows(name.strip(), known, count):
            return ColumnUse(name, "drop", "it numbers the rows")
        return ColumnUse(name, "number")
    return _inferred_text(name, known, count)


def _inferred_text(name: str, known: Any, count: int) -> ColumnUse:
    if _are_truths(known):
        return ColumnUse(name, "boolean")
    if form := date_format(known):
        return ColumnUse(name, "date", format=form)
    if count > MAX_CATEGORIES and _words(known) >= WORDS:
        return ColumnUse(name, "text")
    if len(known) >= FEW_ROWS and count >= NEAR_UNIQUE * len(known):
        return ColumnUse(
            name, "drop", f"it identifies rows: {count:,} different values in {len(known):,} rows"
        )
    if count > MAX_CATEGORIES:
        return ColumnUse(
            name,
            "category",
            f"{count:,} values; all but the {MAX_CATEGORIES - 1} most frequent share one input",
        )
    return ColumnUse(name, "category")


def _words(texts: Any) -> float:
    """Mean number of words."""
    return sum(len(text.split()) for text in texts.tolist()) / len(texts)


def _are_truths(texts: Any) -> bool:
    return {text.strip().lower() for text in texts.unique()[:5]} in TRUTHS


def _is_boolean(column: Any) -> bool:
    from pandas.api.types import is_bool_dtype  # noqa: PLC0415 - half a second to import

    return bool(is_bool_dtype(column))


def _numbers_rows(name: str, known: Any, count: int) -> bool:
    """Whether all are different whole numbers, in a column named like an identifier."""
    values = known.to_numpy(np.float64)
    return bool(IDENTIFIER.search(name)) and count == len(values) and bool(np.all(np.mod(values, 1.0) == 0.0))


def _check_said(path: str, name: str, column: Any, kind: Kind) -> str:
    """The format of a column of dates. Raises `UsageError` for a column that cannot be used as the spec says."""
    if kind == "number" and not is_numeric(column):
        example = str(column.dropna().iloc[0]) if column.notna().any() else ""
        raise UsageError(
            f'{path}: column "{name}" cannot be a number: it holds "{example[:40]}". Name it in task.categories or task.texts, or correct the file'
        )
    if kind != "date":
        return ""
    form = date_format(column.dropna().map(text_of).astype(str), digits=True)
    if not form:
        raise UsageError(
            f'{path}: column "{name}" cannot be a date: its values do not share one format that is known, such as 2024-12-31 or 31.12.2024'
        )
    return form
