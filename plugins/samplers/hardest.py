"""The examples with the largest loss, right or wrong, even when nothing is wrong."""

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

    With m hard examples of n, a hard one has weight `(1 - replay) / m` and another `replay / (n - m)`. Unlike with
    `failures` the selection is never empty: after the last failure, boosting continues on the least confident examples.
    """

    share: float = option(0.2, "share of the examples that count as hard, at least one", min=0.0, max=1.0)
    replay: float = option(0.5, "share of a batch drawn from the other examples", min=0.0, max=0.95)

    def select(self, outcome: Outcome, history: Sequence[Outcome], rng: np.random.Generator) -> Selection:
        """The hardest examples, then replayed ones; ties are broken by `rng` and the ids."""
        del history
        drawn = outcome.shuffled(np.arange(len(outcome)), rng)
        order = drawn[np.argsort(-outcome.loss[drawn], kind="stable")]
        count = min(len(order), max(1, round(self.share * len(order))))
        return Selection.with_replay(order[:count], order[count:], self.replay)


@hookimpl
def register_samplers(register: Callable[[str, type[Any]], None]) -> None:
    """Register `hardest`."""
    register("hardest", Hardest)
