"""Dates: their format, and the numbers that they become."""

from __future__ import annotations

import re
from typing import Any

FORMATS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d"),
    *("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y"),
    *("%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d-%b-%Y"),
)
TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
ISO = "ISO8601"
DIGITS = re.compile(r"\d.*\D.*\d")
UNIVERSAL = r"\s*(?:UTC|GMT)$"
PARTS = ("year", "month", "day", "weekday", "hour", "days")
"""The numbers of a date; `days` counts from 1970 with fractions, `weekday` from 0 for Monday."""
TRIED = 200
"""Values by which a format is chosen, before all are read with it."""


def date_format(texts: Any, *, digits: bool = False) -> str:
    """The one format that reads every value of a series of texts; "" if there is none.

    Numbers without a sign between their digits are dates only if `digits` says so. Where `%d/%m` and `%m/%d` both read all values, the first is taken.
    """
    sample = texts.iloc[:: max(1, len(texts) // TRIED)]
    if len(texts) == 0 or not (digits or sample.str.contains(DIGITS).all()):
        return ""
    formats = (*["%Y%m%d"] * digits, ISO, *(date + time for time in TIMES for date in FORMATS))
    different = texts.drop_duplicates()
    return next((f for f in formats if _reads(sample, f) and _reads(different, f)), "")


def _reads(texts: Any, form: str) -> bool:
    import pandas as pd  # noqa: PLC0415 - half a second to import

    try:
        return bool(
            pd.to_datetime(_without_zone(texts), format=form, errors="coerce", utc=True).notna().all()
        )
    except ValueError:
        return False


def _without_zone(texts: Any) -> Any:
    """Texts without the name of universal time at their ends, in which all are read."""
    return texts.str.replace(UNIVERSAL, "", regex=True)


def date_numbers(column: Any, form: str) -> dict[str, Any]:
    """`PARTS` of a column of dates as float64 columns; NaN for what the format does not read."""
    import pandas as pd  # noqa: PLC0415

    read = pd.to_datetime(
        _without_zone(column.where(column != "", None)), format=form, errors="coerce", utc=True
    )
    names = {"weekday": "day_of_week"}
    parts = {name: getattr(read.dt, names.get(name, name)) for name in PARTS if name != "days"}
    days = (read - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)
    return {name: values.astype("float64") for name, values in (*parts.items(), ("days", days))}
