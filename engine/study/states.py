"""The state of a cell, read only from its files."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Literal

import attrs

from ..foundation.locks import HOLDER
from ..records.run_result import ROUNDS, ending_or_none
from .record import FAILURES, FOLDER, CellRecord, StudyRecord

Status = Literal["finished", "failed", "running", "interrupted", "pending", "excluded"]


@attrs.frozen(kw_only=True)
class CellState:
    """One cell's state."""

    cell: CellRecord
    status: Status
    rounds: int = 0
    """Rounds on disk, the base not counted."""
    cause: str = ""
    """Why it failed."""
    ended: str = ""
    """The run's final status: completed, converged, patience, exhausted."""
    since: float | None = None
    """Seconds since its last round, while it runs."""


def study_folder(runs: Path, name: str) -> Path:
    """The folder with the record of a study."""
    return runs / name / FOLDER


def failure_path(study: Path, key: str) -> Path:
    """The file with the cause of a cell's failure: `{"cause", "traceback", "at"}`."""
    return study / FAILURES / f"{key}.json"


def state_of(runs: Path, study: StudyRecord, cell: CellRecord, *, probe: bool = True) -> CellState:
    """A cell's state. An unreadable file counts as absent: it may be being written, and running the cell reports the damage.

    A running cell holds its lock, which is probed briefly. Without `probe`, only its holder's note is checked, which a killed
    process leaves behind.
    """
    if cell.key in study.excluded:
        return CellState(cell=cell, status="excluded")
    folder = runs / cell.folder
    rounds = max(0, _lines(folder / ROUNDS) - 1)
    result = ending_or_none(folder)
    if result and result.get("status") != "failed":
        return CellState(cell=cell, status="finished", rounds=rounds, ended=str(result.get("status")))
    failure = _json(failure_path(study_folder(runs, study.name), cell.key))
    if (folder / HOLDER).is_file() and (not probe or _is_held(folder)):
        return CellState(cell=cell, status="running", rounds=rounds, since=_age(folder / ROUNDS))
    if failure:
        return CellState(cell=cell, status="failed", rounds=rounds, cause=str(failure.get("cause", "")))
    if result:
        return CellState(cell=cell, status="failed", rounds=rounds, cause=str(result.get("reason", "")))
    return CellState(cell=cell, status="interrupted" if _lines(folder / ROUNDS) else "pending", rounds=rounds)


def states_of(runs: Path, study: StudyRecord) -> list[CellState]:
    """Every cell's state, in the study's order."""
    return [state_of(runs, study, cell) for cell in study.cells]


def _is_held(folder: Path) -> bool:
    """Whether a process holds the run's lock; a killed process leaves its note behind."""
    from filelock import FileLock, Timeout  # noqa: PLC0415 - not needed for --help

    from ..foundation.locks import LOCK  # noqa: PLC0415

    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        return False
    lock.release()
    return False


def _lines(path: Path) -> int:
    try:
        return path.read_bytes().count(b"\n")
    except OSError:
        return 0


def _json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _age(path: Path) -> float | None:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return None
