"""Merge an update with the best scale on validation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from ...engine.contracts import Refusal, Trial
from ...engine.foundation.options import option, positive
from ...engine.hookspecs import hookimpl
from ...engine.sdk.metrics import cost


@attrs.frozen(kw_only=True)
class LineSearch:
    """The best of several scales on validation, the smallest on a tie; a refusal if none improves on scale 0."""

    scales: tuple[float, ...] = option((0.25, 0.5, 0.75, 1.0, 1.25), "scales to try", positive)
    metric: str = option("loss", "the validation metric that decides")

    def __attrs_post_init__(self) -> None:
        """Require at least one scale."""
        if not self.scales:
            raise ValueError('"scales" must hold at least one scale')

    def choose(self, trial: Trial) -> float | Refusal:
        """Evaluate every scale, and scale 0."""
        without = cost(trial(0.0), self.metric)
        # Pairs compare by cost, then by scale: on a tie the smallest scale wins.
        best, scale = min((cost(trial(s), self.metric), s) for s in sorted(self.scales))
        # Strict: a scale that changes nothing is no improvement.
        if best < without:
            return scale
        return Refusal(
            f"no scale of {', '.join(f'{s:g}' for s in self.scales)} improves validation {self.metric}"
        )


@hookimpl
def register_merges(register: Callable[[str, type[Any]], None]) -> None:
    """Register `line-search`."""
    register("line-search", LineSearch)
