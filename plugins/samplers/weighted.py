"""Weights by the history of losses, as in boosting by resampling."""

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
    """Multiplicative weights `w_i = exp(eta h_i)` from a loss history `h`, as in Hedge (Freund and Schapire, 1997).

    `h_i <- decay * h_i + (1 - exp(-loss_i))` over the rounds, the base model first: each term is the probability of a
    wrong answer, `1 - p(label)`, in [0, 1]. With `eta = 0` all weights are equal.
    """

    eta: float = option(2.0, "exponent of the weights: larger prefers hard examples more", min=0.0, max=50.0)
    decay: float = option(0.5, "share of the history kept in every round", share)

    def select(self, outcome: Outcome, history: Sequence[Outcome], rng: np.random.Generator) -> Selection:
        """Every example, with its weight; empty if nothing is wrong."""
        if outcome.correct.all():
            return Selection.empty()
        hardness = np.zeros(len(outcome))
        for past in (*history, outcome):
            hardness = self.decay * hardness - np.expm1(-past.loss)
        indices = outcome.shuffled(np.arange(len(outcome)), rng)
        # Subtracting the maximum changes no ratio and prevents overflow.
        weights = np.exp(self.eta * (hardness - hardness.max()))
        return Selection(indices=indices, weights=weights[indices])


@hookimpl
def register_samplers(register: Callable[[str, type[Any]], None]) -> None:
    """Register `weighted`."""
    register("weighted", Weighted)
