"""Cache folder, progress reports and processes of a run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import attrs

from ..errors import UsageError
from .process_group import ProcessGroup, SingleProcess

Report = Callable[[str, int, int], None]
"""`report(what, done, total)`: progress of one piece of work; `total` 0 means unknown."""


def no_report(what: str, done: int, total: int) -> None:
    """Report nothing."""


def default_cache() -> Path:
    """`$BOOSTLORA_CACHE`, else the platform's cache folder for this user. Raises `UsageError` for a user without a home."""
    from platformdirs import user_cache_path  # noqa: PLC0415 - not needed for --help

    given = os.environ.get("BOOSTLORA_CACHE")
    if given:
        return Path(given)
    try:
        found = user_cache_path("boostlora", appauthor=False)
    except RuntimeError:
        found = None
    # Older versions of platformdirs leave the "~" as it is.
    if found is None or not found.is_absolute():
        raise UsageError(
            "this user has no home folder for the cache; set BOOSTLORA_CACHE to a folder, or HOME to an absolute path"
        )
    return found


@attrs.frozen(kw_only=True)
class RunContext:
    """Cache, progress report and processes of a run; none of them changes a result."""

    cache: Path = attrs.field(factory=default_cache)
    """Pretrained models, singular directions: everything under it can be deleted at any time."""
    report: Report = no_report
    processes: ProcessGroup = attrs.field(factory=SingleProcess)
    """The processes that share the run."""
