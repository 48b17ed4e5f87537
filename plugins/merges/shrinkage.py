"""Merge a fixed share of every update, as gradient boosting does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from ...engine.contracts import Refusal, Trial
from ...engine.foundation.options import option
from ...engine.hookspecs import hookimpl


@attrs.frozen(kw_only=True)
class Shrinkage:
    """Scale `rate` (Friedman, 2001): smaller steps that later rounds can correct."""

    rate: float = option(0.5, "share of every update that is merged", min=0.0, max=1.0)

    def choose(self, trial: Trial) -> float | Refusal:
        """Always `rate`."""
        del trial
        return self.rate


@hookimpl
def register_merges(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `shrinkage`."""
    register("shrinkage", Shrinkage)
