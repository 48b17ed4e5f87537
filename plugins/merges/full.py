"""Merge every update with scale 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from ...engine.contracts import Refusal, Trial
from ...engine.hookspecs import hookimpl


@attrs.frozen(kw_only=True)
class Full:
    """Scale 1, without evaluation."""

    def choose(self, trial: Trial) -> float | Refusal:
        """Always 1."""
        del trial
        return 1.0


@hookimpl
def register_merges(register: Callable[[str, type[Any]], None]) -> None:
    """Register `full`."""
    register("full", Full)
