"""All examples in every round: the baseline without selection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from ...engine.contracts import Outcome, Selection
from ...engine.hookspecs import hookimpl


@attrs.frozen(kw_only=True)
class All:
    """Every training example with the same weight, whether right or wrong; the selection is never empty."""

    def select(self, outcome: Outcome, history: Sequence[Outcome], rng: np.random.Generator) -> Selection:
        """All indices, in random order."""
        del history
        return Selection.equal(outcome.shuffled(np.arange(len(outcome)), rng))


@hookimpl
def register_samplers(register: Callable[[str, type[Any]], None]) -> None:
    """Register `all`."""
    register("all", All)
