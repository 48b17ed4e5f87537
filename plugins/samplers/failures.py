"""Train on what the model gets wrong, and replay some of what it gets right."""

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
    """What the model gets wrong; `replay` is the share of every batch drawn from what it gets right.

    With F failures and C right examples, a failure has weight `(1 - replay) / F` and a right one `replay / C`. Training on
    failures alone (`replay = 0`) breaks many of the right examples in every round.
    """

    replay: float = option(0.5, "share of a batch drawn from examples already right", min=0.0, max=0.95)
    cap: int = option(0, "most failures a round trains on, drawn at random; 0: all", min=0)

    def select(self, outcome: Outcome, history: Sequence[Outcome], rng: np.random.Generator) -> Selection:
        """Failures first, then the examples to replay; empty when nothing is wrong."""
        del history
        wrong = outcome.shuffled(np.flatnonzero(~outcome.correct), rng)
        right = outcome.shuffled(np.flatnonzero(outcome.correct), rng)
        wrong = wrong[: self.cap] if self.cap else wrong
        if len(wrong) == 0:
            return Selection.empty()
        if self.replay == 0.0 or len(right) == 0:
            return Selection.equal(wrong)
        weights = [
            np.full(len(wrong), (1 - self.replay) / len(wrong)),
            np.full(len(right), self.replay / len(right)),
        ]
        return Selection(indices=np.concatenate([wrong, right]), weights=np.concatenate(weights))


@hookimpl
def register_samplers(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `failures`."""
    register("failures", Failures)
