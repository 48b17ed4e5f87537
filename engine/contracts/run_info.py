"""A run as displays and trackers get it: its identity at the start, its result at the end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs

End = Literal["completed", "converged", "patience", "exhausted", "failed"]
"""How a run ended: all rounds, nothing left to select, no improvement on validation, no directions left, or a failure."""


@attrs.frozen(kw_only=True)
class RunInfo:
    """A started run."""

    path: Path
    name: str
    """The name of its spec."""
    spec_sha256: str
    spec_toml: str
    """The canonical spec; it reproduces the run."""
    settings: Mapping[str, Any]
    """All options that affect the result, as the tree of the spec."""
    resumed_from: int
    """Rounds that were already on disk; 0 for a new run."""


@attrs.frozen(kw_only=True)
class RunResult:
    """How a run ended."""

    status: End
    reason: str
    rounds: int
    """Number of rounds on disk, the base not counted."""
    best_round: int
    """The round whose model is best on validation, by the metric of `[stop]`; 0 is the base."""
    digest: str
    """Digest of the last round; equal for equal runs."""

    @property
    def failed(self) -> bool:
        """Whether the run ended in a failure."""
        return self.status == "failed"

    def as_json(self) -> dict[str, Any]:
        """The result as JSON types, for scripts and `result.json`."""
        return attrs.asdict(self)
