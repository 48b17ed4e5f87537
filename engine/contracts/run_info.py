"""A run as displays and trackers see it: what has begun, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs

End = Literal["completed", "converged", "patience", "exhausted", "failed"]
"""How a run ended: all rounds, nothing left to select, no improvement on validation, no directions left, or a failure."""


@attrs.frozen(kw_only=True)
class RunInfo:
    """A run that has begun."""

    path: Path
    name: str
    """The name of its spec."""
    spec_sha256: str
    spec_toml: str
    """The canonical spec, which makes the same run again."""
    settings: Mapping[str, Any]
    """Everything that decides the result, as the tree of the spec."""
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
