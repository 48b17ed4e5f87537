"""Enumeration of all arithmetic problems of a kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import isqrt
from typing import Literal

import attrs
import numpy as np

Operation = Literal["add", "subtract", "multiply"]
SIGNS: dict[Operation, str] = {"add": "+", "subtract": "-", "multiply": "*"}
RESULTS: dict[Operation, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
}


@attrs.frozen
class Sum:
    """`a op b`."""

    a: int
    operation: Operation
    b: int

    @property
    def fields(self) -> dict[str, str]:
        """Template fields: `a`, `op`, `b` and `answer`."""
        answer = RESULTS[self.operation](self.a, self.b)
        return {"a": str(self.a), "op": SIGNS[self.operation], "b": str(self.b), "answer": str(answer)}


@attrs.frozen
class Sums:
    """All problems with two integers from 0 to `top - 1`, by operation; without `negative`, `a - b` has `a >= b`."""

    operations: tuple[Operation, ...]
    top: int
    negative: bool = False

    def __len__(self) -> int:
        return sum(self._size(operation) for operation in self.operations)

    def __getitem__(self, number: int) -> Sum:
        for operation in self.operations:
            if number < self._size(operation):
                return Sum(*self._place(operation, number))
            number -= self._size(operation)
        raise IndexError("no such problem")

    def drawn(self, counts: Sequence[int], rng: np.random.Generator) -> Iterator[list[Sum]]:
        """Disjoint random lists of these sizes, without replacement. Raises `ValueError` if there are too few problems."""
        numbers: list[int] = rng.choice(len(self), size=sum(counts), replace=False).tolist()
        for count in counts:
            yield [self[number] for number in numbers[:count]]
            numbers = numbers[count:]

    def _size(self, operation: Operation) -> int:
        return self.top * (self.top + 1) // 2 if self._ordered(operation) else self.top**2

    def _place(self, operation: Operation, number: int) -> tuple[int, Operation, int]:
        if self._ordered(operation):
            a = (isqrt(8 * number + 1) - 1) // 2  # row a of the triangle starts at a (a + 1) / 2
            return a, operation, number - a * (a + 1) // 2
        return number // self.top, operation, number % self.top

    def _ordered(self, operation: Operation) -> bool:
        return operation == "subtract" and not self.negative
