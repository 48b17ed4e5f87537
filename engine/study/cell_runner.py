"""Runs one cell in the process that an executor chose; failures are recorded, not raised."""

from __future__ import annotations

import json
import os
import platform
import traceback
from collections.abc import Generator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from ..boosting.experiment import prepare
from ..boosting.loop import boost
from ..contracts import Job, JobResult
from ..errors import BoostLoraError, RunError
from ..foundation.atomic import write_text
from ..foundation.locks import InUseError, locked
from ..foundation.redaction import cleaned
from ..foundation.run_context import RunContext
from ..registry import Registry
from ..runs.directory import RunDirectory
from ..spec import Spec
from ..spec.document import parse
from ..spec.faults import Source
from ..spec.resolve import resolve
from .inputs import resolve_inputs
from .record import LOGS
from .states import failure_path


def run_cell(job: Job) -> JobResult:
    """Run the remaining rounds of a cell in this process.

    A failure is written with its cause to the study's folder; a retry removes the earlier one. Only KeyboardInterrupt and
    SystemExit are raised; every finished round is then on disk.
    """
    failure = failure_path(Path(job.study), job.cell)
    try:
        with _logged(Path(job.study) / LOGS / f"{job.cell}.log"):
            failure.unlink(missing_ok=True)
            _boost(job)
    except InUseError as error:
        return JobResult(cell=job.cell, status="busy", cause=str(error))
    except Exception as error:
        cause = str(error) if isinstance(error, BoostLoraError) else f"{type(error).__name__}: {error}"
        record_failure(Path(job.study), job.cell, cause, traceback.format_exc())
        return JobResult(cell=job.cell, status="failed", cause=cause)
    return JobResult(cell=job.cell, status="finished")


def record_failure(study: Path, cell: str, cause: str, trace: str = "") -> None:
    """Record why a cell failed, for `status` and reports."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    content = {"cell": cell, "cause": cause, "traceback": trace, "at": now}
    content = cleaned(content)
    content |= {"host": platform.node(), "pid": os.getpid()}
    write_text(failure_path(study, cell), json.dumps(content, indent=2) + "\n")


def _boost(job: Job) -> None:
    text, files = resolve_inputs(job)
    registry = _registry(files)
    spec = resolve(parse(Source(f"cell {job.cell}", text, Path(job.folder))), registry)
    _check_hash(spec, job)
    path = Path(job.folder)
    with locked(path):
        directory = RunDirectory.create(path, spec)
        directory.check_spec()
        result = directory.result()
        if result is not None and result["status"] != "failed":
            return
        ended = boost(prepare(spec), directory, registry, RunContext(cache=Path(job.cache)))
    if ended.failed:
        raise RunError(ended.reason)


def _check_hash(spec: Spec, job: Job) -> None:
    """Refuse to run a spec under another cell's key."""
    if spec.short_hash != job.cell:
        raise RunError(
            f"the cell's spec has the hash {spec.short_hash} here, not {job.cell}: a data file or a plugin differs "
            "on this machine, or has changed since the study started; run the study's spec again"
        )


@lru_cache(maxsize=4)
def _registry(files: tuple[Path, ...]) -> Registry:
    """The registry of this process, built once for all cells of a study."""
    return Registry.load(files)


@contextmanager
def _logged(path: Path) -> Generator[None]:
    """Redirect output to the cell's log."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as log, redirect_stdout(log), redirect_stderr(log):
        yield
