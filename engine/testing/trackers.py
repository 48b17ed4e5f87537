"""The contract of every tracker."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
import pytest

from ..boosting.experiment import prepare
from ..boosting.started_run import StartedRun
from ..contracts import Metrics, TrackedRun, Tracker
from ..contracts.records import RoundRecord
from ..contracts.run_info import RunInfo, RunResult
from ..foundation.counts import count_text
from ..runs.directory import PROVENANCE, RunDirectory
from .cells import Cells


class TrackerContract:
    """Contract tests: inherit, and implement `make` and `recorded`."""

    def make(self, folder: Path) -> Tracker:
        """A tracker, as a spec would make it, that logs to this folder."""
        raise NotImplementedError

    def recorded(self, folder: Path, run: RunInfo) -> Mapping[str, Sequence[tuple[int, float]]]:
        """What the tool has stored of a run, read through the tool's API: `(step, value)` pairs by metric."""
        raise NotImplementedError

    accuracy = "test/accuracy"
    """The tool's name for the test accuracy, in [0, 1]."""

    @pytest.fixture
    def run(self, tmp_path: Path) -> RunInfo:
        """A run at its start."""
        return make_run(tmp_path)

    def _follow(self, folder: Path, run: RunInfo) -> TrackedRun:
        tracker = self.make(folder)
        tracker.check()
        return tracker.follow(run)

    def _log_run(
        self, folder: Path, run: RunInfo, records: Sequence[RoundRecord], *, end: bool = True
    ) -> None:
        """Log a whole run, in this process."""
        followed = self._follow(folder, run)
        for record in records:
            followed.round_finished(record)
        if end:
            followed.run_finished(make_result(records))
        followed.close()

    def test_rounds_are_kept_at_their_step_with_their_value(self, tmp_path: Path, run: RunInfo) -> None:
        records = make_records(3)
        self._log_run(tmp_path, run, records)
        kept = self.recorded(tmp_path, run)[self.accuracy]
        assert [step for step, _ in kept] == [0, 1, 2]
        # A tool may store float32.
        assert [value for _, value in kept] == pytest.approx([r.test.accuracy for r in records], rel=1e-6)

    def test_rounds_are_kept_before_the_run_ends(self, tmp_path: Path, run: RunInfo) -> None:
        followed = self._follow(tmp_path, run)
        try:
            for number, record in enumerate(make_records(3)):
                followed.round_finished(record)
                assert [step for step, _ in self.recorded(tmp_path, run)[self.accuracy]] == [
                    *range(number + 1)
                ]
        finally:
            followed.close()

    def test_resumed_run_is_one_run_and_nothing_is_kept_twice(self, tmp_path: Path, run: RunInfo) -> None:
        records = make_records(4)
        self._log_run(tmp_path, run, records[:2], end=False)
        self._log_run(tmp_path, attrs.evolve(run, resumed_from=1), records)
        kept = self.recorded(tmp_path, run)
        assert [step for step, _ in kept[self.accuracy]] == [0, 1, 2, 3]
        for name, values in kept.items():
            steps = [step for step, _ in values]
            assert len(set(steps)) == len(steps), f"{name} is kept twice: {steps}"

    def test_run_that_was_never_closed_resumes(self, tmp_path: Path, run: RunInfo) -> None:
        records, killed = make_records(3), self._follow(tmp_path, run)
        for record in records[:2]:
            killed.round_finished(record)
        self._log_run(tmp_path, attrs.evolve(run, resumed_from=1), records)
        assert [step for step, _ in self.recorded(tmp_path, run)[self.accuracy]] == [0, 1, 2]
        killed.close()

    def test_runs_at_the_same_time_are_kept_apart(self, tmp_path: Path, run: RunInfo) -> None:
        other = make_run(tmp_path, seed=1)
        first, second = self._follow(tmp_path, run), self._follow(tmp_path, other)
        for one, two in zip(make_records(3), make_records(3, base=0.5), strict=True):
            first.round_finished(one)
            second.round_finished(two)
        first.close()
        second.close()
        values = [[value for _, value in self.recorded(tmp_path, r)[self.accuracy]] for r in (run, other)]
        assert values[0] == pytest.approx([r.test.accuracy for r in make_records(3)], rel=1e-6)
        assert values[1] == pytest.approx([r.test.accuracy for r in make_records(3, base=0.5)], rel=1e-6)

    def test_nonfinite_and_missing_values_are_no_error(self, tmp_path: Path, run: RunInfo) -> None:
        bare = Metrics(accuracy=0.1, loss=math.nan, count=9)
        infinite = attrs.evolve(bare, loss=math.inf)
        record = RoundRecord(round=0, status="base", failures=1, train=bare, validation=infinite, test=bare)
        self._log_run(tmp_path, run, [record])
        assert [step for step, _ in self.recorded(tmp_path, run)[self.accuracy]] == [0]

    def test_failed_run_ends_like_any_other(self, tmp_path: Path, run: RunInfo) -> None:
        followed, records = self._follow(tmp_path, run), make_records(2)
        for record in records:
            followed.round_finished(record)
        followed.run_finished(attrs.evolve(make_result(records), status="failed", reason="round 2: NaN"))
        followed.close()
        assert len(self.recorded(tmp_path, run)[self.accuracy]) == 2


def make_run(folder: Path, seed: int = 0, created: str = "2026-01-01T00:00:00+00:00") -> RunInfo:
    """A run of a small spec, with the files that its folder has when tracking starts."""
    cells = Cells(folder)
    spec = cells.spec(seed)
    path = folder / "runs" / spec.head.name / spec.short_hash
    hashes = {"data": "ab12", "weights": "cd34"}
    origin = {"created": created, "hashes": hashes, "git": "0123abcd", "versions": {}}
    RunDirectory(path).write_json(PROVENANCE, origin)
    return StartedRun.of(path, spec, prepare(spec).plan)


def make_records(count: int, base: float = 0.0) -> list[RoundRecord]:
    """The base and the rounds after it, each a little better."""
    return [_record(number, base + 0.1 * number) for number in range(count)]


def _record(number: int, accuracy: float) -> RoundRecord:
    metrics = [
        Metrics(accuracy=accuracy + shift, loss=1.0 - accuracy, count=20) for shift in (0.02, 0.01, 0.0)
    ]
    trained = number > 0
    return RoundRecord(
        round=number,
        status="merged" if trained else "base",
        scale=float(trained),
        failures=20 - number,
        selected=10 * trained,
        trained_on=10 * trained,
        train=metrics[0],
        validation=metrics[1],
        test=metrics[2],
        parameters=8 * trained,
        loss_first=1.0 if trained else None,
        loss_last=0.5 if trained else None,
        rank={"layers.0.weight": 2 * number, "layers.1.weight": number},
        effective_rank={"layers.0.weight": 1.5 * number, "layers.1.weight": 0.5 * number},
        overlap=1e-15 if trained else None,
        seconds={"train": 0.25, "evaluate": 0.5},
        memory_bytes=1 << 20,
    ).sealed("")


def make_result(records: Sequence[RoundRecord]) -> RunResult:
    """The result of a run with these records."""
    rounds = len(records) - 1
    reason, digest = f"all {count_text(rounds, 'round')} done", records[-1].digest
    return RunResult(status="completed", reason=reason, rounds=rounds, best_round=rounds, digest=digest)
