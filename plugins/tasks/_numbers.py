"""Numbers as people write them: decimal commas, grouped thousands, percent and currency signs."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

GAPS = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "n/a", "#N/A", "<NA>"})
"""Cells of a column of numbers that mean nothing, as pandas reads them."""
UNITS = "%$€£¥"
SPACES = "\u00a0\u202f'"
"""Signs that group thousands in either notation."""
SAMPLED = 200
"""Cells that are tried before a whole column is read."""


def _pattern(group: str, point: str) -> re.Pattern[str]:
    grouped = rf"[1-9]\d{{0,2}}(?:[{group}{SPACES}]\d{{3}})+"
    return re.compile(
        rf"(?P<unit>[{UNITS}]?)\s*(?P<number>[-+]?(?:{grouped}|\d+)(?:{point}\d+)?)\s*(?P<end>[{UNITS}]?)"
    )


PATTERNS = {".": _pattern(",", r"\."), ",": _pattern(r"\.", ",")}
"""Numbers by their decimal sign."""
DECIMAL_COMMA = re.compile(r"\D*(?:\d{1,3}(?:\.\d{3})+|\d+),\d+\D*")


def has_decimal_commas(texts: Any, separator: str) -> bool:
    """Whether a column of cells is numbers with decimal commas.

    All are numbers with a comma as decimal sign, some have one, and they are no numbers with grouped thousands such as `1,234`; where
    the comma cannot separate thousands, since `;` separates cells, those too are decimal.
    """
    if not _all(PATTERNS[","], _known(texts.iloc[:SAMPLED])):
        return False
    known = _known(texts)
    if not _all(PATTERNS[","], known) or not any(DECIMAL_COMMA.fullmatch(text) for text in known):
        return False
    return separator == ";" or not _all(PATTERNS["."], known)


def numbers_of(texts: Any, decimal: str) -> Any:
    """Cells as numbers `(n,)`, NaN for gaps; None if some cell is no number with this decimal sign, or they have different units."""
    pattern = PATTERNS[decimal]
    if not _all(pattern, _known(texts.iloc[:SAMPLED])):
        return None
    found, units = list[float](), set[str]()
    for cell in map(_cell, texts.tolist()):
        if cell in GAPS:
            found.append(np.nan)
            continue
        match = pattern.fullmatch(cell)
        if match is None:
            return None
        units.add(match["unit"] + match["end"])
        found.append(_value(match, decimal))
    return np.array(found) if len(units) == 1 else None


def number_of(cell: str, decimal: str) -> float:
    """One cell as a number, such as `1e5` or `1,234.5`; NaN if it is none with this decimal sign."""
    match = PATTERNS[decimal].fullmatch(cell.strip())
    if match is not None:
        return _value(match, decimal)
    try:
        return (
            float(cell) if decimal == "." and "_" not in cell else np.nan
        )  # Python reads 1_000, pandas does not
    except ValueError:
        return np.nan


def is_decimal_comma(cell: str, separator: str) -> bool:
    """Whether a cell is a number with a decimal comma, and not one with grouped thousands such as `1,234`."""
    text = cell.strip()
    if not PATTERNS[","].fullmatch(text) or not DECIMAL_COMMA.fullmatch(text):
        return False
    return separator == ";" or not PATTERNS["."].fullmatch(text)


def _value(match: re.Match[str], decimal: str) -> float:
    grouping = SPACES + ("," if decimal == "." else ".")
    return float(match["number"].translate(str.maketrans(dict.fromkeys(grouping))).replace(",", "."))


def _known(texts: Any) -> list[str]:
    return [cell for cell in map(_cell, texts.tolist()) if cell not in GAPS]


def _cell(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _all(pattern: re.Pattern[str], texts: list[str]) -> bool:
    return all(pattern.fullmatch(text) for text in texts)
