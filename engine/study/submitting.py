"""Cells handed to a queue that outlives the command: which are there, and what became of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
import cattrs

from ..contracts import DetachedExecutor, Ended, Job
from ..errors import RunError, UsageError, blame
from ..record.atomic import write_text
from ..registry import Registry
from ..spec.structure import converter
from .playing import record_failure
from .record import SUBMITTED, StudyRecord
from .states import failure_path


def submitted(folder: Path) -> dict[str, str]:
    """Ids in the queue, by cell, of all that was ever submitted last."""
    path = folder / SUBMITTED
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {str(cell): str(job) for cell, job in content.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise RunError(f"{path}: damaged: {error}; remove it, and submit the study again") from error


def submit(executor: DetachedExecutor, folder: Path, jobs: Sequence[Job]) -> tuple[int, int]:
    """Queue the jobs that are not queued or running already; how many that were, and how many were there."""
    known = submitted(folder)
    wanted = {job.cell for job in jobs}
    waiting = waiting_of(executor, folder, {c: i for c, i in known.items() if c in wanted})
    new = [job for job in jobs if job.cell not in waiting]
    with blame("executor", type(executor).__name__):
        ids = dict(executor.submit(new)) if new else {}
    write_text(folder / SUBMITTED, json.dumps({**known, **ids}, indent=2) + "\n")
    return len(ids), len(waiting)


def waiting_of(executor: DetachedExecutor, folder: Path, ids: Mapping[str, str]) -> set[str]:
    """Cells that the queue still has, waiting or running."""
    if not ids:
        return set()
    with blame("executor", type(executor).__name__):
        return {cell for cell, ended in executor.poll(str(folder), ids).items() if ended is None}


def gather(executor: DetachedExecutor, folder: Path) -> dict[str, Ended | None]:
    """What became of everything that was submitted; a cell that was lost is written down as failed, once."""
    ids = submitted(folder)
    if not ids:
        return {}
    with blame("executor", type(executor).__name__):
        found = dict(executor.poll(str(folder), ids))
    for cell, ended in found.items():
        if ended is not None and ended.status == "lost" and not failure_path(folder, cell).is_file():
            record_failure(folder, cell, ended.cause)
    return found


def executor_of(record: StudyRecord, registry: Registry) -> object:
    """The executor that a study was run with, made again from its record."""
    entry = registry.entries("executor").get(record.executor)
    if entry is None:
        raise UsageError(f'the study was run with executor "{record.executor}", which is not installed here')
    known = {
        field.name: field for field in attrs.fields(entry.cls)
    }  # their types were resolved by the registry
    given = {name: value for name, value in record.executor_options.items() if name in known}
    try:
        return entry.cls(**{n: converter.structure(v, known[n].type or object) for n, v in given.items()})
    except (ValueError, TypeError, cattrs.BaseValidationError) as error:
        raise RunError(
            f"study {record.name}: the options of executor {record.executor} in its record are not legal here: {error}; "
            "run the study's spec again"
        ) from error
