"""A suite that cannot fail proves nothing: executors that break the contract, each in one way, are caught."""

import attrs
import pytest

from boostlora.engine.contracts import JobResult
from boostlora.engine.study.cell_runner import run_cell
from boostlora.engine.testing.cells import Cells
from boostlora.engine.testing.executors import DetachedExecutorContract, ExecutorContract


class Honest:
    """Plays one after another in this process."""

    remote = False

    def check(self):
        """Nothing is needed."""

    def run(self, jobs):
        for job in jobs:
            yield None
            yield self.ended(job)

    def ended(self, job):
        return run_cell(job)


class Forgetful(Honest):
    def run(self, jobs):
        yield from super().run(jobs[1:])


class Repetitive(Honest):
    def run(self, jobs):
        yield from super().run([*jobs, jobs[0]])


class Hopeful(Honest):
    def ended(self, job):
        run_cell(job)
        return JobResult(cell=job.cell, status="finished")


class Idle(Honest):
    def ended(self, job):
        return JobResult(cell=job.cell, status="finished")


class Vague(Honest):
    def ended(self, job):
        return attrs.evolve(run_cell(job), cause="")


class Unclosable(Honest):
    def run(self, jobs):
        return list(super().run(jobs))


def suite(executor):
    class Suite(ExecutorContract):
        def make(self):
            return executor()

    return Suite()


ALL_END, ONE_FAILS = (
    "test_jobs_all_end_once_and_are_finished_on_disk",
    "test_failing_cell_is_failed_with_its_cause_and_the_others_finish",
)


@pytest.mark.parametrize("test", [ALL_END, ONE_FAILS])
def test_suite_passes_a_conforming_executor(tmp_path, test):
    getattr(suite(Honest), test)(Cells(tmp_path))


@pytest.mark.parametrize(
    ("executor", "test"),
    [
        (Forgetful, ALL_END),
        (Repetitive, ALL_END),
        (Idle, ALL_END),
        (Unclosable, ALL_END),
        (Hopeful, ONE_FAILS),
        (Vague, ONE_FAILS),
    ],
)
def test_suite_catches_an_executor_that_breaks_the_contract(tmp_path, executor, test):
    with pytest.raises(AssertionError):
        getattr(suite(executor), test)(Cells(tmp_path))


class Blocking:
    """Submits only when all is done, and tells nothing but good."""

    remote = False

    def check(self):
        """Nothing is needed."""

    def submit(self, jobs):
        return {job.cell: run_cell(job).cell for job in jobs}

    def poll(self, study, ids):
        return {cell: JobResult(cell=cell, status="finished") for cell in ids}

    def cancel(self, study, ids):
        """Too late."""


class BlockingSuite(DetachedExecutorContract):
    def make(self):
        return Blocking()


def test_suite_catches_a_queue_that_reports_only_success(tmp_path):
    with pytest.raises(AssertionError):
        BlockingSuite().test_failing_cell_is_failed_with_its_cause_and_the_others_finish(Cells(tmp_path))
