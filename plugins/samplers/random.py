"""Random examples, as many as there are failures: the control for selecting failures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from ...engine.contracts import Outcome, Selection
from ...engine.hookspecs import hookimpl


@attrs.frozen(kw_only=True)
class Random:
    """As many examples as the model gets wrong, drawn from all; empty if nothing is wrong."""

    def select(self, outcome: Outcome, history: Sequence[Outcome], rng: np.random.Generator) -> Selection:
        """A uniform draw without replacement."""
        del history
        failures = int(np.sum(~outcome.correct))
        return Selection.equal(outcome.shuffled(np.arange(len(outcome)), rng)[:failures])


@hookimpl
def register_samplers(register: Callable[[str, type[Any]], None]) -> None:
    """Register `random`."""
    register("random", Random)
