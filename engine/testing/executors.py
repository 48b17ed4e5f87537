"""The contract of every executor."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path

import attrs
import pytest

from ..contracts import DetachedExecutor, Executor, Job, JobResult
from ..study.cell_runner import run_cell
from ..study.states import failure_path
from .cells import (
    PATIENCE,
    ROUNDS,
    Cells,
    digest_of,
    is_alive,
    is_waiting,
    rounds_of,
    wait_until,
    worker_of,
)


class _CellsFixture:
    @pytest.fixture
    def cells(self, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Cells]:
        """A study for this test; pretrained models are shared with other tests.

        Its gate is opened at the end, so that no cell keeps waiting after a failed test.
        """
        cells = Cells(tmp_path, cache=tmp_path_factory.getbasetemp() / "cells-cache")
        yield cells
        cells.gate.touch()


class ExecutorContract(_CellsFixture):
    """Contract tests: inherit, and implement `make`. Workers must be processes of this machine, since the suite kills some."""

    def make(self) -> Executor:
        """An executor, as built from a spec, for at least two cells at a time."""
        raise NotImplementedError

    def _run(self, jobs: Sequence[Job]) -> list[JobResult]:
        return [ended for ended in self._started(jobs) if ended is not None]

    def _started(self, jobs: Sequence[Job]) -> Generator[JobResult | None]:
        executor = self.make()
        executor.check()
        running = executor.run(jobs)
        assert isinstance(running, Generator), "run() must return a generator, which can be closed"
        return running

    def test_no_jobs_end_at_once(self) -> None:
        assert self._run([]) == []

    def test_jobs_all_end_once_and_are_finished_on_disk(self, cells: Cells) -> None:
        jobs = [cells.job(seed) for seed in range(3)]
        ended = self._run(jobs)
        assert Counter(e.cell for e in ended) == Counter(job.cell for job in jobs)
        assert {e.status for e in ended} == {"finished"}
        assert [rounds_of(job) for job in jobs] == [ROUNDS + 1] * 3

    def test_failing_cell_is_failed_with_its_cause_and_the_others_finish(self, cells: Cells) -> None:
        bad, good = cells.job(0, fails=True), cells.job(1)
        ended = {e.cell: e for e in self._run([bad, good])}
        assert ended[bad.cell].status == "failed"
        assert "this cell is meant to fail" in ended[bad.cell].cause
        assert failure_path(cells.study, bad.cell).is_file()
        assert ended[good.cell].status == "finished"

    def test_order_of_jobs_does_not_matter_to_their_results(self, cells: Cells, tmp_path: Path) -> None:
        jobs = [cells.job(seed) for seed in (0, 1)]
        others = [attrs.evolve(cells, folder=tmp_path / "other").job(seed) for seed in (1, 0)]
        self._run(jobs)
        self._run(others)
        assert {job.cell: digest_of(job) for job in jobs} == {job.cell: digest_of(job) for job in others}

    def test_executor_yields_while_cells_run(self, cells: Cells) -> None:
        running, turns, job = self._started([cells.job(0, gated=True)]), 0, cells.job(0, gated=True)
        for ended in running:
            assert ended is None or cells.gate.exists()
            if is_waiting(job) and not cells.gate.exists():
                begun = time.monotonic()
                while turns < 4:
                    assert next(running) is None
                    turns += 1
                assert time.monotonic() - begun < 20, "it yields several times a second"
                cells.gate.touch()
        assert turns == 4

    def test_finished_job_is_left_as_it_is(self, cells: Cells) -> None:
        job = cells.job(0)
        self._run([job])
        before = {path: path.stat().st_mtime_ns for path in Path(job.folder).rglob("*.json*")}
        assert [e.status for e in self._run([job])] == ["finished"]
        assert {path: path.stat().st_mtime_ns for path in Path(job.folder).rglob("*.json*")} == before

    def test_closed_iterator_leaves_no_process_and_all_cells_can_resume(
        self, cells: Cells, tmp_path: Path
    ) -> None:
        jobs = [cells.job(seed, gated=True) for seed in (0, 1)]
        running = self._started(jobs)
        _advance_until(running, lambda: all(map(is_waiting, jobs)))
        workers = [worker_of(job) for job in jobs]
        running.close()
        for worker in workers:
            assert worker is not None
            wait_until(lambda worker=worker: not is_alive(worker), f"worker {worker} has ended")
        assert [rounds_of(job) for job in jobs] == [ROUNDS, ROUNDS]
        cells.gate.touch()
        assert [e.status for e in self._run(jobs)] == ["finished", "finished"]
        _check_uninterrupted(jobs, tmp_path)

    def test_killed_worker_is_lost_and_the_others_continue(self, cells: Cells, tmp_path: Path) -> None:
        victim, other = cells.job(0, gated=True), cells.job(1)
        running = self._started([victim, other])
        found = _advance_until(running, lambda: is_waiting(victim))
        worker = worker_of(victim)
        assert worker is not None
        os.kill(worker, signal.SIGKILL)
        found += [ended for ended in running if ended is not None]
        ended = {e.cell: e for e in found}
        assert len(found) == len(ended) == 2
        assert ended[victim.cell].status == "lost"
        assert ended[victim.cell].cause
        assert ended[other.cell].status == "finished"
        cells.gate.touch()
        assert [e.status for e in self._run([victim])] == ["finished"]
        _check_uninterrupted([victim], tmp_path)


class DetachedExecutorContract(_CellsFixture):
    """Contract tests: inherit, and implement `make`. Queued cells must run on this machine, since the suite kills some."""

    def make(self) -> DetachedExecutor:
        """An executor, as built from a spec; the suite builds a new one for every call."""
        raise NotImplementedError

    def _submit(self, cells: Cells, jobs: Sequence[Job]) -> Mapping[str, str]:
        self.make().check()
        ids = self.make().submit(jobs)
        assert ids.keys() == {job.cell for job in jobs}
        assert cells.study.is_dir()
        return ids

    def _poll(self, cells: Cells, ids: Mapping[str, str]) -> Mapping[str, JobResult | None]:
        found = self.make().poll(str(cells.study), ids)
        assert found.keys() == ids.keys()
        return found

    def _wait(self, cells: Cells, ids: Mapping[str, str]) -> dict[str, JobResult]:
        """The results of all jobs."""
        wait_until(lambda: all(self._poll(cells, ids).values()), "all jobs have ended")
        return {cell: ended for cell, ended in self._poll(cells, ids).items() if ended is not None}

    def test_no_jobs_are_submitted_at_once(self) -> None:
        assert self.make().submit([]) == {}

    def test_submission_returns_before_its_jobs_end_and_they_finish(
        self, cells: Cells, tmp_path: Path
    ) -> None:
        jobs = [cells.job(0, gated=True), cells.job(1)]
        ids = self._submit(cells, jobs)
        wait_until(lambda: is_waiting(jobs[0]), "the gated cell waits at its gate")
        assert self._poll(cells, ids)[jobs[0].cell] is None
        cells.gate.touch()
        assert {e.status for e in self._wait(cells, ids).values()} == {"finished"}
        _check_uninterrupted(jobs, tmp_path)

    def test_failing_cell_is_failed_with_its_cause_and_the_others_finish(self, cells: Cells) -> None:
        bad, good = cells.job(0, fails=True), cells.job(1)
        ended = self._wait(cells, self._submit(cells, [bad, good]))
        assert ended[bad.cell].status == "failed"
        assert "this cell is meant to fail" in ended[bad.cell].cause
        assert ended[good.cell].status == "finished"

    def test_killed_worker_is_lost_and_resumes_when_resubmitted(self, cells: Cells, tmp_path: Path) -> None:
        job = cells.job(0, gated=True)
        ids = self._submit(cells, [job])
        wait_until(lambda: is_waiting(job), "the cell waits at its gate")
        worker = worker_of(job)
        assert worker is not None
        os.kill(worker, signal.SIGKILL)
        ended = self._wait(cells, ids)[job.cell]
        assert (ended.status, bool(ended.cause)) == ("lost", True)
        cells.gate.touch()
        assert self._wait(cells, self._submit(cells, [job]))[job.cell].status == "finished"
        _check_uninterrupted([job], tmp_path)

    def test_cancelled_cell_is_lost_and_its_process_gone(self, cells: Cells) -> None:
        victim, other = cells.job(0, gated=True), cells.job(1, gated=True)
        ids = self._submit(cells, [victim, other])
        wait_until(lambda: is_waiting(victim) and is_waiting(other), "both cells wait at their gate")
        worker = worker_of(victim)
        assert worker is not None
        self.make().cancel(str(cells.study), {victim.cell: ids[victim.cell]})
        wait_until(lambda: not is_alive(worker), "the cancelled cell's process has ended")
        cells.gate.touch()
        ended = self._wait(cells, ids)
        assert (ended[victim.cell].status, ended[other.cell].status) == ("lost", "finished")
        assert rounds_of(victim) == ROUNDS


def _advance_until(running: Iterable[JobResult | None], condition: object) -> list[JobResult]:
    """Advance the executor until `condition` holds; the results so far."""
    assert callable(condition)
    found, end = list[JobResult](), time.monotonic() + PATIENCE
    for ended in running:
        found += [ended] if ended is not None else []
        if condition():
            return found
        assert time.monotonic() < end, f"timed out after {PATIENCE:g} s: the cells are not at their gate"
    raise AssertionError(f"all jobs ended before the cells reached their gate: {found}")


def _check_uninterrupted(jobs: Sequence[Job], folder: Path) -> None:
    """Interrupted cells have the same digests as uninterrupted ones, which run here."""
    for job in jobs:
        twin = attrs.evolve(
            job, folder=str(folder / "twins" / job.cell), study=str(folder / "twins" / "study")
        )
        assert run_cell(twin).status == "finished"
        assert digest_of(twin) == digest_of(job)
