"""A started run with its spec and plan, for the displays of the command line."""

from __future__ import annotations

from pathlib import Path

import attrs

from ..contracts.run_info import RunInfo
from ..spec import Spec
from ..spec.spec import UNHASHED_KEYS
from .plan import Plan


@attrs.frozen(kw_only=True)
class StartedRun(RunInfo):
    """A `RunInfo`, as trackers get it, with spec and plan for displays."""

    spec: Spec
    plan: Plan

    @classmethod
    def of(cls, path: Path, spec: Spec, plan: Plan, resumed_from: int = 0) -> StartedRun:
        """The run of a spec in a folder."""
        return cls(
            path=path,
            name=spec.head.name,
            spec_sha256=spec.sha256,
            spec_toml=spec.dump(),
            settings={key: value for key, value in spec.as_tree().items() if key not in UNHASHED_KEYS},
            resumed_from=resumed_from,
            spec=spec,
            plan=plan,
        )
