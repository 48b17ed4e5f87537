"""Brings a study's cells to an end: which of them are still to be run, on what executor, and again where a worker died."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import attrs

from ..boosting.experiment import SplitCache, prepare
from ..boosting.plan import Plan
from ..contracts import Executor, Job, JobResult
from ..errors import BoostLoraError, UsageError
from ..foundation.locks import HOLDER
from ..foundation.run_context import default_cache
from .cell_runner import record_failure
from .inputs import STORE, inputs_of, stage
from .states import CellState, state_of, study_folder
from .study_loader import Cell, Study

ATTEMPTS = 3
"""Workers that may die under one cell before it counts as failed; every attempt goes on after the last finished round."""
PAUSE = 2.0
"""Seconds before cells that another process is working on are asked for again."""


@attrs.frozen(kw_only=True)
class ToDo:
    """A study's distinct cells by what is to be done about them."""

    finished: tuple[CellState, ...]
    failed: tuple[CellState, ...]
    """Failed before, and not to be tried again."""
    open: tuple[CellState, ...]
    """Never begun, interrupted, at work elsewhere, or failed and to be tried again."""


def to_do(study: Study, runs: Path, *, retry: bool = False) -> ToDo:
    """Sort a study's cells; `retry` tries those that failed again."""
    states = [state_of(runs, study.record, cell.record) for cell in study.distinct.values()]
    return ToDo(
        finished=tuple(s for s in states if s.status == "finished"),
        failed=tuple(s for s in states if s.status == "failed" and not retry),
        open=tuple(s for s in states if s.status != "finished" and (retry or s.status != "failed")),
    )


def plans_of(study: Study, keys: Collection[str]) -> dict[tuple[str, str], Plan]:
    """The plan of every arm in every block that has one of these cells, by its first seed: what cannot run is refused here.

    Tuned values are planned too, but for the optimiser's, which no plan depends on. Raises `UsageError` naming the arm, with
    what is wrong.
    """
    found, planned, data = dict[tuple[str, str], Plan](), set[str](), SplitCache()
    for cell in study.cells:
        place = (cell.record.block, cell.record.arm)
        tuned = {k: v for k, v in cell.record.tuning.items() if not k.startswith("optimizer.")}
        if cell.record.key not in keys or (case := repr((place, tuned))) in planned:
            continue
        planned.add(case)
        try:
            plan = prepare(cell.spec, data).plan
            found.setdefault(place, plan)
        except BoostLoraError as error:
            where = " · ".join(part for part in reversed(place) if part)
            raise UsageError(f'arm "{where}" cannot be run: {error}') from error
    return found


def jobs_of(study: Study, runs: Path, keys: Collection[str]) -> list[Job]:
    """Jobs for these cells, seed by seed across the arms, so that whoever stops early has whole comparisons.

    For an executor whose workers may be elsewhere, what the cells read is put under its hash beside the runs first.
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


def conduct(executor: Executor, jobs: Sequence[Job]) -> Generator[JobResult | None]:
    """Run jobs until each is finished or failed; yield each as it ends, and None meanwhile.

    A job whose worker died is given to another, up to `ATTEMPTS` times; one that another process is working on is asked
    for again until that one is done. Closing the generator stops every worker.
    """
    waiting, deaths = {job.cell: job for job in jobs}, Counter[str]()
    while waiting:
        again = dict[str, Job]()
        with closing(executor.run(list(waiting.values()))) as answers:
            for ended in answers:
                if ended is None:
                    yield None
                    continue
                job = waiting[ended.cell]
                if ended.status == "lost":
                    deaths[ended.cell] += 1
                    # The note tells of a process that is dead; its lock went with it.
                    (Path(job.folder) / HOLDER).unlink(missing_ok=True)
                if ended.status == "busy" or (ended.status == "lost" and deaths[ended.cell] < ATTEMPTS):
                    again[ended.cell] = job
                yield _settled(ended, job) if ended.cell not in again else ended
        waiting = again
        if waiting:
            yield from _pause()


def _settled(ended: JobResult, job: Job) -> JobResult:
    """What is final: a cell whose workers kept dying has failed."""
    if ended.status != "lost":
        return ended
    cause = f"{ended.cause} ({ATTEMPTS} times)"
    record_failure(Path(job.study), job.cell, cause)
    return JobResult(cell=ended.cell, status="failed", cause=cause)


def _pause() -> Iterator[None]:
    until = time.monotonic() + PAUSE
    while time.monotonic() < until:
        time.sleep(0.1)
        yield None
