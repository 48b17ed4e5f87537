"""Merge every update with a fixed scale, as in gradient boosting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from ...engine.contracts import Refusal, Trial
from ...engine.foundation.options import option
from ...engine.hookspecs import hookimpl


@attrs.frozen(kw_only=True)
class Shrinkage:
    """Shrinkage (Friedman, 2001): scale `rate`, so that later rounds can correct earlier ones."""

    rate: float = option(0.5, "scale of every update", min=0.0, max=1.0)

    def choose(self, trial: Trial) -> float | Refusal:
        """Always `rate`."""
        del trial
        return self.rate


@hookimpl
def register_merges(register: Callable[[str, type[Any]], None]) -> None:
    """Register `shrinkage`."""
    register("shrinkage", Shrinkage)
