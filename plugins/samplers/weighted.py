"""Weight every example by how hard it has been over the rounds, as boosting by resampling does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from ...engine.contracts import Outcome, Selection
from ...engine.foundation.options import option, share
from ...engine.hookspecs import hookimpl


@attrs.frozen(kw_only=True)
class Weighted:
    """Multiplicative weights `w_i = exp(eta h_i)` from a loss history `h`, as in Freund and Schapire's Hedge (1997).

    `h_i <- decay * h_i + (1 - exp(-loss_i))` over the rounds, the base model first: each term is the probability that the
    model denied the right answer, in [0, 1]. `eta = 0` weighs all examples alike.
    """

    eta: float = option(2.0, "how sharply hard examples are preferred", min=0.0, max=50.0)
    decay: float = option(0.5, "how much of the earlier history is kept every round", share)

    def select(self, outcome: Outcome, history: Sequence[Outcome], rng: np.random.Generator) -> Selection:
        """Every example, with its weight; empty when nothing is wrong."""
        if outcome.correct.all():
            return Selection.empty()
        hardness = np.zeros(len(outcome))
        for past in (*history, outcome):
            hardness = self.decay * hardness - np.expm1(-past.loss)
        indices = outcome.shuffled(np.arange(len(outcome)), rng)
        weights = np.exp(self.eta * (hardness - hardness.max()))
        return Selection(indices=indices, weights=weights[indices])


@hookimpl
def register_samplers(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `weighted`."""
    register("weighted", Weighted)
