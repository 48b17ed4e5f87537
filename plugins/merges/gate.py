"""Merge an update only if it improves validation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from ...engine.contracts import Refusal, Trial
from ...engine.foundation.options import option
from ...engine.hookspecs import hookimpl
from ...engine.sdk.metrics import cost


@attrs.frozen(kw_only=True)
class Gate:
    """Scale 1 if the validation metric improves by more than `margin`, else a refusal."""

    metric: str = option("loss", "the validation metric that decides")
    margin: float = option(0.0, "required improvement, in the metric's unit", min=0.0)

    def choose(self, trial: Trial) -> float | Refusal:
        """Compare the model with and without the update."""
        gain = cost(trial(0.0), self.metric) - cost(trial(1.0), self.metric)
        # Strict, so that an update without effect is refused at margin 0 as well.
        if gain > self.margin:
            return 1.0
        return Refusal(f"validation {self.metric} would change by {-gain:+.4g} for the worse or not at all")


@hookimpl
def register_merges(register: Callable[[str, type[Any]], None]) -> None:
    """Register `gate`."""
    register("gate", Gate)
