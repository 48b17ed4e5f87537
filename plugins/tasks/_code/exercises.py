"""Programming exercises: prompts, solutions and tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from ....engine.contracts import Prompts
from ....engine.contracts.sequences import pack_texts


@attrs.frozen(eq=False)
class Exercises(Prompts):
    """Prompts and solutions with the code around a completion and its tests."""

    openings: tuple[str, ...]
    """Code that the completion continues, such as a function's signature; empty if none."""
    tests: tuple[str, ...]
    setups: tuple[str, ...]
    """Trusted definitions that the tests use."""
    entry_points: tuple[str, ...]

    @property
    def columns(self) -> tuple[tuple[str, ...], ...]:
        """All fields, each with one text per exercise."""
        return (self.prompts, self.completions, self.openings, self.tests, self.setups, self.entry_points)

    def __getitem__(self, indices: NDArray[np.int64]) -> Exercises:
        return Exercises(*(tuple(column[i] for i in indices) for column in self.columns))

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """The content as arrays, for hashing."""
        return pack_texts([text for column in self.columns for text in column])
