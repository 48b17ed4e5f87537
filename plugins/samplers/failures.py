"""Failures, with a replay of correct examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from ...engine.contracts import Outcome, Selection
from ...engine.foundation.options import option
from ...engine.hookspecs import hookimpl


@attrs.frozen(kw_only=True)
class Failures:
    """Examples that the model gets wrong; `replay` is the share of every batch drawn from those it gets right.

    With F failures and C correct examples, a failure has weight `(1 - replay) / F` and a correct one `replay / C`. Training on
    failures alone (`replay = 0`) makes many correct examples wrong in every round.
    """

    replay: float = option(0.5, "share of a batch drawn from correct examples", min=0.0, max=0.95)
    cap: int = option(0, "maximum failures per round, drawn at random; 0: all", min=0)

    def select(self, outcome: Outcome, history: Sequence[Outcome], rng: np.random.Generator) -> Selection:
        """Failures, then replayed examples; empty if nothing is wrong."""
        del history
        wrong = outcome.shuffled(np.flatnonzero(~outcome.correct), rng)
        right = outcome.shuffled(np.flatnonzero(outcome.correct), rng)
        wrong = wrong[: self.cap] if self.cap else wrong
        return Selection.with_replay(wrong, right, self.replay) if len(wrong) else Selection.empty()


@hookimpl
def register_samplers(register: Callable[[str, type[Any]], None]) -> None:
    """Register `failures`."""
    register("failures", Failures)
