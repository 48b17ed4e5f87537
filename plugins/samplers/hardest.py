"""Train on what the model finds hardest, right or wrong, and go on when nothing is wrong any more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from ...engine.contracts import Outcome, Selection
from ...engine.foundation.options import option
from ...engine.hookspecs import hookimpl


@attrs.frozen(kw_only=True)
class Hardest:
    """The `share` of the examples with the largest loss; `replay` is the share of every batch drawn from the others.

    With m hard examples of n, a hard one has weight `(1 - replay) / m` and another `replay / (n - m)`. Unlike `failures` it never
    runs out: boosting goes on after the last failure, on what is answered least surely.
    """

    share: float = option(0.2, "share of the examples that counts as hard, at least one", min=0.0, max=1.0)
    replay: float = option(0.5, "share of a batch drawn from the other examples", min=0.0, max=0.95)

    def select(self, outcome: Outcome, history: Sequence[Outcome], rng: np.random.Generator) -> Selection:
        """The hardest first, then the examples to replay; equal losses in an order that the examples' ids and `rng` decide."""
        del history
        drawn = outcome.shuffled(np.arange(len(outcome)), rng)
        order = drawn[np.argsort(-outcome.loss[drawn], kind="stable")]
        count = min(len(order), max(1, round(self.share * len(order))))
        hard, others = order[:count], order[count:]
        if self.replay == 0.0 or len(others) == 0:
            return Selection.equal(hard)
        weights = [
            np.full(len(hard), (1 - self.replay) / len(hard)),
            np.full(len(others), self.replay / len(others)),
        ]
        return Selection(indices=np.concatenate([hard, others]), weights=np.concatenate(weights))


@hookimpl
def register_samplers(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `hardest`."""
    register("hardest", Hardest)
