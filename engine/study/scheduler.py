"""Schedules a study's cells: selects those to run, builds their jobs, and retries those with lost workers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import attrs

from ..boosting.experiment import SplitCache, prepare
from ..boosting.plan import Plan
from ..boosting.target_check import check_metric
from ..contracts import Executor, Job, JobResult
from ..errors import BoostLoraError, RunError, UsageError
from ..foundation.locks import HOLDER
from ..foundation.run_context import default_cache
from ..runs.directory import SPEC, is_earlier
from .cell_runner import record_failure
from .inputs import STORE, inputs_of, stage
from .states import CellState, state_of, study_folder
from .study_loader import Cell, Study

ATTEMPTS = 3
"""Attempts per cell with dying workers before it counts as failed; each resumes after the last finished round."""
NAMED = 3
"""Maximum number of cells named in a message."""
PAUSE = 2.0
"""Seconds before cells that another process is running are retried."""


@attrs.frozen(kw_only=True)
class CellPartition:
    """A study's distinct cells: finished, failed, and still to run."""

    finished: tuple[CellState, ...]
    failed: tuple[CellState, ...]
    """Failed earlier, and not to be retried."""
    open: tuple[CellState, ...]
    """Pending, interrupted, running elsewhere, or to be retried."""


def partition_cells(study: Study, runs: Path, *, retry: bool = False) -> CellPartition:
    """Partition a study's cells; with `retry`, failed ones are run again."""
    states = [state_of(runs, study.record, cell.record) for cell in study.distinct.values()]
    return CellPartition(
        finished=tuple(s for s in states if s.status == "finished"),
        failed=tuple(s for s in states if s.status == "failed" and not retry),
        open=tuple(s for s in states if s.status != "finished" and (retry or s.status != "failed")),
    )


def refuse_earlier_cells(study: Study, runs: Path) -> None:
    """Raise `RunError` where cells were run by a version whose files this one does not read; they count neither as finished nor as open."""
    folders = [runs / cell.record.folder for cell in study.distinct.values()]
    earlier = [folder for folder in folders if (folder / SPEC).is_file() and is_earlier(folder)]
    if not earlier:
        return
    more = f" and {len(earlier) - NAMED} more" if len(earlier) > NAMED else ""
    raise RunError(
        f"{', '.join(map(str, earlier[:NAMED]))}{more}: written by an earlier format, which this version does not read; remove "
        f"the folder{'s' * (len(earlier) > 1)}, and run the study again"
    )


def plans_of(study: Study, keys: Collection[str]) -> dict[tuple[str, str], Plan]:
    """The plan of every arm in every block that has one of these cells, by its first seed; a plan that cannot run is refused.

    Tuned values are planned too, except those of the optimiser, which do not affect plans. Raises `UsageError` naming the arm
    and the cause.
    """
    found, planned, data = dict[tuple[str, str], Plan](), set[str](), SplitCache()
    for cell in study.cells:
        place = (cell.record.block, cell.record.arm)
        tuned = {k: v for k, v in cell.record.tuning.items() if not k.startswith("optimizer.")}
        if cell.record.key not in keys or (case := repr((place, tuned))) in planned:
            continue
        planned.add(case)
        try:
            prepared = prepare(cell.spec, data)
            check_metric("ablate.metric", study.record.metric, cell.spec, prepared.splits)
            found.setdefault(place, prepared.plan)
        except BoostLoraError as error:
            where = " · ".join(part for part in reversed(place) if part)
            raise UsageError(f'arm "{where}" cannot be run: {error}') from error
    return found


def jobs_of(study: Study, runs: Path, keys: Collection[str]) -> list[Job]:
    """Jobs for these cells, seed by seed across the arms, so that an interrupted study has complete comparisons.

    For executors with remote workers, the inputs of the cells are first stored by hash next to the runs.
    """
    remote = study.executor.remote
    store, cache = (runs / STORE).resolve(), default_cache().resolve()
    files = tuple(Path(file) for file in study.record.plugin_files)
    jobs, staged = list[Job](), set[str]()
    for cell in _by_seed(study, keys):
        inputs = inputs_of(cell.spec, files, cache)
        if remote:
            stage({name: sha for name, sha in inputs.items() if name not in staged}, store)
            staged |= set(inputs)
        jobs.append(
            Job(
                cell=cell.record.key,
                label=cell.record.label,
                spec=cell.spec.dump(),
                folder=str((runs / cell.record.folder).resolve()),
                study=str(study_folder(runs, study.record.name).resolve()),
                cache=str(cache),
                plugin_files=study.record.plugin_files,
                inputs=inputs,
                store=str(store) if remote else "",
            )
        )
    return jobs


def _by_seed(study: Study, keys: Collection[str]) -> list[Cell]:
    order = {seed: number for number, seed in enumerate(study.record.seeds)}
    cells = [cell for key, cell in study.distinct.items() if key in keys]
    return sorted(cells, key=lambda cell: order[cell.record.seed])


def run_jobs(executor: Executor, jobs: Sequence[Job]) -> Generator[JobResult | None]:
    """Run jobs until each is finished or failed; yield each result, and None while waiting.

    A job whose worker died is retried, up to `ATTEMPTS` times; one that another process is running is retried until that
    process is done. Closing the generator stops every worker.
    """
    waiting, deaths = {job.cell: job for job in jobs}, Counter[str]()
    while waiting:
        retry = dict[str, Job]()
        with closing(executor.run(list(waiting.values()))) as results:
            for result in results:
                if result is None:
                    yield None
                    continue
                job = waiting[result.cell]
                if result.status == "lost":
                    deaths[result.cell] += 1
                    # The holder's note refers to a dead process, whose lock is gone.
                    (Path(job.folder) / HOLDER).unlink(missing_ok=True)
                if result.status == "busy" or (result.status == "lost" and deaths[result.cell] < ATTEMPTS):
                    retry[result.cell] = job
                yield _final_result(result, job) if result.cell not in retry else result
        waiting = retry
        if waiting:
            yield from _pause()


def _final_result(result: JobResult, job: Job) -> JobResult:
    """The final result: a cell that lost all its workers has failed."""
    if result.status != "lost":
        return result
    cause = f"{result.cause} ({ATTEMPTS} times)"
    record_failure(Path(job.study), job.cell, cause)
    return JobResult(cell=result.cell, status="failed", cause=cause)


def _pause() -> Iterator[None]:
    until = time.monotonic() + PAUSE
    while time.monotonic() < until:
        time.sleep(0.1)
        yield None
