"""Cells in a queue, with a queue that a test commands."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import attrs
import pytest

from boostlora.engine.contracts import DetachedExecutor, Job, JobResult
from boostlora.engine.errors import PluginError, RunError, UsageError
from boostlora.engine.registry import Registry
from boostlora.engine.study.queue import collect_results, executor_of, submit, submitted_ids
from boostlora.engine.study.record import StudyRecord
from boostlora.engine.study.states import failure_path


@attrs.define
class Queue:
    """Numbers what is submitted; what became of a number is what the test says, else it waits."""

    remote: ClassVar[bool] = False

    taken: list[str] = attrs.field(factory=list)
    ended: dict[str, str] = attrs.field(factory=dict)
    asked: list[dict[str, str]] = attrs.field(factory=list)
    broken: bool = False

    def check(self) -> None:
        """It works everywhere."""

    def submit(self, jobs: Sequence[Job]) -> Mapping[str, str]:
        if self.broken:
            raise OSError("the queue is down")
        first = len(self.taken)
        self.taken += [job.cell for job in jobs]
        return {job.cell: str(first + number) for number, job in enumerate(jobs)}

    def poll(self, study: str, ids: Mapping[str, str]) -> Mapping[str, JobResult | None]:
        if self.broken:
            raise OSError("the queue is down")
        self.asked.append(dict(ids))
        return {
            cell: JobResult(cell=cell, status=self.ended[number], cause=f"job {number}")
            if number in self.ended
            else None  # type: ignore[arg-type]
            for cell, number in ids.items()
        }

    def cancel(self, study: str, ids: Mapping[str, str]) -> None:
        """Nothing is asked of it here."""


def jobs(*cells: str) -> list[Job]:
    return [Job(cell=cell, label=cell, spec="", folder="", study="", cache="") for cell in cells]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "s" / "study"


def test_queue_of_the_test_is_an_executor() -> None:
    assert isinstance(Queue(), DetachedExecutor)


def test_submit_queues_each_cell_once_while_it_waits(study: Path) -> None:
    queue = Queue()
    assert submit(queue, study, jobs("a", "b")) == (2, 0)
    assert submit(queue, study, jobs("a", "b", "c")) == (1, 2)
    assert queue.taken == ["a", "b", "c"]
    assert submitted_ids(study) == {"a": "0", "b": "1", "c": "2"}


@pytest.mark.parametrize("status", ["lost", "failed", "finished", "busy"])
def test_submit_queues_lost_cells_again(study: Path, status: str) -> None:
    queue = Queue()
    submit(queue, study, jobs("a", "b"))
    queue.ended["0"] = status
    assert submit(queue, study, jobs("a", "b")) == (1, 1)
    assert submitted_ids(study) == {"a": "2", "b": "1"}


def test_submit_queries_only_its_cells(study: Path) -> None:
    queue = Queue()
    submit(queue, study, jobs("a", "b"))
    submit(queue, study, jobs("b"))
    assert queue.asked == [{"b": "1"}]


def test_submit_of_no_cells_does_not_call_the_queue(study: Path) -> None:
    queue = Queue()
    assert submit(queue, study, []) == (0, 0)
    assert (queue.taken, queue.asked, submitted_ids(study)) == ([], [], {})


def test_collect_returns_the_result_of_every_cell(study: Path) -> None:
    queue = Queue(ended={"0": "finished", "1": "failed"})
    submit(queue, study, jobs("a", "b", "c"))
    found = collect_results(queue, study)
    assert {cell: ended and ended.status for cell, ended in found.items()} == {
        "a": "finished",
        "b": "failed",
        "c": None,
    }


def test_collect_of_a_lost_cell_writes_its_failure_once(study: Path) -> None:
    queue = Queue(ended={"0": "lost"})
    submit(queue, study, jobs("a", "b"))
    collect_results(queue, study)
    path = failure_path(study, "a")
    before = path.read_bytes()
    assert json.loads(before)["cause"] == "job 0"
    assert not failure_path(study, "b").exists()
    collect_results(queue, study)
    assert path.read_bytes() == before


def test_collect_of_a_lost_cell_keeps_its_own_cause(study: Path) -> None:
    queue = Queue(ended={"0": "lost"})
    submit(queue, study, jobs("a"))
    failure_path(study, "a").parent.mkdir(parents=True)
    failure_path(study, "a").write_text('{"cause": "its own"}')
    collect_results(queue, study)
    assert json.loads(failure_path(study, "a").read_text()) == {"cause": "its own"}


def test_collect_before_any_submission_does_not_query_the_queue(study: Path) -> None:
    queue = Queue(broken=True)
    assert collect_results(queue, study) == {}


def test_unreachable_queue_is_named_and_nothing_is_recorded(study: Path) -> None:
    queue = Queue(broken=True)
    with pytest.raises(PluginError, match='executor plugin "Queue": raised OSError: the queue is down'):
        submit(queue, study, jobs("a"))
    assert submitted_ids(study) == {}
    queue.broken = False
    submit(queue, study, jobs("a"))
    queue.broken = True
    with pytest.raises(PluginError, match="the queue is down"):
        collect_results(queue, study)


@pytest.mark.parametrize("content", ["", "[]", "{", '"a"'])
def test_damaged_submission_record_names_the_next_step(study: Path, content: str) -> None:
    study.mkdir(parents=True)
    (study / "submitted.json").write_text(content)
    with pytest.raises(
        RunError, match=r"submitted\.json: damaged: .*; remove it, and submit the study again"
    ):
        submitted_ids(study)


def record(executor: str, **options: object) -> StudyRecord:
    return StudyRecord(
        name="s",
        sha256="",
        arms=(),
        blocks=(),
        seeds=(),
        cells=(),
        baseline=None,
        executor=executor,
        executor_options=options,
    )


def test_executor_of_a_record_is_the_one_it_was_run_with(registry: Registry, tmp_path: Path) -> None:
    made = registry.entries("executor")["slurm"].cls(minutes=5, setup=("module load cuda",))
    record("slurm", **attrs.asdict(made)).write(tmp_path)
    assert executor_of(StudyRecord.read(tmp_path), registry) == made


def test_unknown_or_invalid_recorded_executor_is_an_error(registry: Registry) -> None:
    with pytest.raises(UsageError, match='run with executor "mine", which is not installed here'):
        executor_of(record("mine"), registry)
    with pytest.raises(RunError, match="options of executor local in its record are not legal here"):
        executor_of(record("local", workers="many"), registry)
    assert executor_of(record("local", workers=2, gone=1), registry).workers == 2  # type: ignore[attr-defined]
