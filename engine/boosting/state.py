"""What displays and trackers are told of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from ..record.ending import End
from ..spec import Spec
from .plan import Plan


@attrs.frozen(kw_only=True)
class RunInfo:
    """A run that has begun."""

    path: Path
    spec: Spec
    plan: Plan
    resumed_from: int
    """Rounds that were already on disk; 0 for a new run."""


@attrs.frozen(kw_only=True)
class RunResult:
    """How a run ended."""

    status: End
    reason: str
    rounds: int
    """Rounds on disk, the base not counted."""
    best_round: int
    """The round whose model is best on validation, by the metric of `[stop]`; 0 is the base."""
    digest: str
    """Equal for equal experiments."""

    @property
    def failed(self) -> bool:
        """Whether the run ended before its time."""
        return self.status == "failed"

    def as_json(self) -> dict[str, Any]:
        """The result for scripts, and for `result.json`."""
        return attrs.asdict(self)
