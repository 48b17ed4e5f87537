"""The target of a table: classes, or values of a regression."""

from __future__ import annotations

from typing import Any, Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from ....engine.contracts import Values
from ....engine.errors import UsageError
from .._frames import classes_of, texts
from .._numbers import numbers_of

Target = Literal["auto", "classes", "values"]
MANY_NUMBERS = 30
"""Different whole numbers from which a label is taken for a value."""
SOME_NUMBERS = 10
"""The same for labels that are not all whole."""


def is_value(column: Any) -> bool:
    """Whether a label column looks continuous: numbers, of which many differ."""
    numbers = set(numbers_in(column.dropna().drop_duplicates()))
    if not numbers or None in numbers:
        return False
    whole = all(number is not None and number.is_integer() for number in numbers)
    return len(numbers) > (MANY_NUMBERS if whole else SOME_NUMBERS)


def numbers_in(column: Any) -> list[float | None]:
    """Labels as numbers, None for a word; decimal commas, grouped thousands and units are understood if all labels have them."""
    return _read(column)[0]


def decimal_sign(column: Any) -> str:
    """The decimal sign of a label column, a point unless its numbers can only be read with a comma."""
    return _read(column)[1]


def _read(column: Any) -> tuple[list[float | None], str]:
    found = [_number(text) for text in texts(column)]
    if None in found:
        for decimal in (".", ","):
            values = numbers_of(column, decimal)
            if values is not None and not np.isnan(values).any():
                return values.tolist(), decimal
    return found, "."


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


@attrs.frozen(kw_only=True)
class ClassTarget:
    """Names of the classes, sorted."""

    classes: tuple[str, ...]

    @classmethod
    def of(cls, column: str, tables: dict[str, Any]) -> ClassTarget:
        """The values of a label column in tables by their paths. Raises `UsageError` for a single class, or too many."""
        found = {text for rows in tables.values() for text in texts(rows[column])}
        return cls(classes=classes_of(found, next(iter(tables)), column))

    def codes(self, column: Any) -> NDArray[np.int64]:
        """Class numbers `(n,)`."""
        position = {name: i for i, name in enumerate(self.classes)}
        return np.array([position[value] for value in texts(column)], dtype=np.int64)


def values_of(path: str, column: Any, *, place: str = "line", first: int = 2) -> NDArray[np.float64]:
    """The targets of a regression `(n,)`. Raises `UsageError` for one that is no finite number, naming its `place`, counted from `first`."""
    found = numbers_in(column)
    for at, (number, text) in enumerate(zip(found, texts(column), strict=True), first):
        if number is None or not np.isfinite(number):
            raise UsageError(
                f'{path}: column "{column.name}" is "{text[:40]}" in {place} {at}, no finite number'
            )
    return np.array(found, dtype=np.float64)


def standardised(values: NDArray[np.float64], fitted: NDArray[np.float64]) -> Values:
    """Values by mean and standard deviation of the `fitted` ones; a standard deviation of 0 counts as 1."""
    mean, std = float(fitted.mean()), float(fitted.std())
    std = std if std > 0 else 1.0
    return Values(standardised=(values - mean) / std, mean=mean, std=std)
