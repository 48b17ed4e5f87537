"""Cells in a batch queue: submission, state and results."""

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


def submitted_ids(folder: Path) -> dict[str, str]:
    """The last queue id of every submitted cell."""
    path = folder / SUBMITTED
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = {str(cell): str(job) for cell, job in content.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise RunError(f"{path}: damaged: {error}; remove it, and submit the study again") from error
    if any(Path(cell).name != cell for cell in found):  # it names a file of `failures`
        raise RunError(f"{path}: damaged: invalid cell key; remove it, and submit the study again")
    return found


def submit(executor: DetachedExecutor, folder: Path, jobs: Sequence[Job]) -> tuple[int, int]:
    """Submit the jobs that are not queued or running; returns the number submitted, and the number already queued."""
    known = submitted_ids(folder)
    wanted = {job.cell for job in jobs}
    waiting = queued_cells(executor, folder, {c: i for c, i in known.items() if c in wanted})
    new = [job for job in jobs if job.cell not in waiting]
    with blame("executor", type(executor).__name__):
        ids = dict(executor.submit(new)) if new else {}
    write_text(folder / SUBMITTED, json.dumps({**known, **ids}, indent=2) + "\n")
    return len(ids), len(waiting)


def queued_cells(executor: DetachedExecutor, folder: Path, ids: Mapping[str, str]) -> set[str]:
    """Cells that are queued or running."""
    if not ids:
        return set()
    with blame("executor", type(executor).__name__):
        return {cell for cell, result in executor.poll(str(folder), ids).items() if result is None}


def collect_results(executor: DetachedExecutor, folder: Path) -> dict[str, JobResult | None]:
    """Results of all submitted cells; lost cells are recorded as failed, once."""
    ids = submitted_ids(folder)
    if not ids:
        return {}
    with blame("executor", type(executor).__name__):
        found = dict(executor.poll(str(folder), ids))
    for cell, result in found.items():
        if result is not None and result.status == "lost" and not failure_path(folder, cell).is_file():
            record_failure(folder, cell, result.cause)
    return found


def check_plugins(record: StudyRecord, files: Sequence[Path]) -> None:
    """Refuse to run a plugin file that has changed since the study was run with it."""
    recorded = dict(zip(record.plugin_files, record.plugin_hashes, strict=False))
    for file in files:
        recorded_hash = recorded.get(str(file.resolve()))
        if recorded_hash is not None and file.is_file() and (now := file_sha256(file)) != recorded_hash:
            raise UsageError(
                f"--plugin {file}: has changed since the study was run with it (its SHA-256 was {recorded_hash[:12]}…, and is {now[:12]}…); "
                "review it, then run the study's spec again with it, which records the new hash"
            )


def _plugin_hint(record: StudyRecord) -> str:
    """How to pass the plugin files of a study, since a record alone never causes code to run."""
    if not record.plugin_files:
        return ""
    named = " ".join(f"--plugin {shlex.quote(file)}" for file in record.plugin_files)
    return (
        "; plugin files run only if the command line names them, never because a study's record does: review those that "
        f"it was run with, and if you trust them, give {named}"
    )


def executor_of(record: StudyRecord, registry: Registry) -> object:
    """Rebuild the executor of a study from its record."""
    entry = registry.entries("executor").get(record.executor)
    if entry is None:
        raise UsageError(
            f'the study was run with executor "{record.executor}", which is not installed here{_plugin_hint(record)}'
        )
    known = {field.name: field for field in attrs.fields(entry.cls)}  # the registry has resolved their types
    given = {name: value for name, value in record.executor_options.items() if name in known}
    try:
        return entry.cls(**{n: converter.structure(v, known[n].type or object) for n, v in given.items()})
    except (ValueError, TypeError, cattrs.BaseValidationError) as error:
        raise RunError(
            f"study {record.name}: the options of executor {record.executor} in its record are not legal here: {error}; "
            "run the study's spec again"
        ) from error
