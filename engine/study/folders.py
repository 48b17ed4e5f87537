"""Runs that are there already, in whatever study: a cell is never run twice."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from ..records.run_result import ending_or_none
from ..runs.directory import SPEC

NOWHERE = (-1, -1)
"""Below the rank of any run that there is."""


def known_runs(runs: Path, keys: Collection[str], name: str) -> Mapping[str, str]:
    """The folder of every cell, relative to that of all runs.

    It is a finished run's, whoever made it; else one that the study `name` has begun; else one that another has begun; else
    a new one, `name/KEY`.
    """
    found, ranks = {key: f"{name}/{key}" for key in keys}, dict[str, tuple[int, int]]()
    for spec in sorted(runs.glob(f"*/*/{SPEC}")):
        folder, key = spec.parent, spec.parent.name
        if key not in found:
            continue
        rank = (int(_is_finished(folder)), int(folder.parent.name == name))
        if rank > ranks.get(key, NOWHERE):
            found[key], ranks[key] = f"{folder.parent.name}/{key}", rank
    return found


def _is_finished(folder: Path) -> bool:
    result = ending_or_none(folder)
    return result is not None and result["status"] != "failed"
