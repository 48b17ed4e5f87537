"""Cells handed to a queue that outlives the command: which are there, and what became of them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
import cattrs

from ..contracts import DetachedExecutor, Job, JobResult
from ..errors import RunError, UsageError, blame
from ..foundation.atomic import file_sha256, write_text
from ..registry import Registry
from ..spec.structure import converter
from .cell_runner import record_failure
from .record import SUBMITTED, StudyRecord
from .states import failure_path


def submitted(folder: Path) -> dict[str, str]:
    """Ids in the queue, by cell, of all that was ever submitted last."""
    path = folder / SUBMITTED
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = {str(cell): str(job) for cell, job in content.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise RunError(f"{path}: damaged: {error}; remove it, and submit the study again") from error
    if any(Path(cell).name != cell for cell in found):  # failures are written under that name
        raise RunError(f"{path}: damaged: a cell's key is no name; remove it, and submit the study again")
    return found


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


def gather(executor: DetachedExecutor, folder: Path) -> dict[str, JobResult | None]:
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


def check_plugins(record: StudyRecord, files: Sequence[Path]) -> None:
    """Refuse a plugin file that has changed since the study was run with it, before it is run."""
    recorded = dict(zip(record.plugin_files, record.plugin_hashes, strict=False))
    for file in files:
        was = recorded.get(str(file.resolve()))
        if was is not None and file.is_file() and (now := file_sha256(file)) != was:
            raise UsageError(
                f"--plugin {file}: has changed since the study was run with it (its SHA-256 was {was[:12]}…, and is {now[:12]}…); "
                "look at it, then run the study's spec again with it, which records it anew"
            )


def _asked(record: StudyRecord) -> str:
    """How to name the plugin files that a study was run with: a record alone makes no code run."""
    if not record.plugin_files:
        return ""
    named = " ".join(f"--plugin {shlex.quote(file)}" for file in record.plugin_files)
    return (
        "; code is run only where the command line names it, never because a study's record does: look at the plugin files that "
        f"it was run with, and if you trust them, give {named}"
    )


def executor_of(record: StudyRecord, registry: Registry) -> object:
    """The executor that a study was run with, made again from its record."""
    entry = registry.entries("executor").get(record.executor)
    if entry is None:
        raise UsageError(
            f'the study was run with executor "{record.executor}", which is not installed here{_asked(record)}'
        )
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
