"""One call of `ablate`: run the missing cells, and print the study's results."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

import attrs

from ..contracts import DetachedExecutor
from ..errors import blame
from ..foundation.counts import count_text
from ..foundation.locks import locked
from ..foundation.run_context import no_report
from ..foundation.shell import command_line
from ..study.queue import submit
from ..study.record import StudyRecord
from ..study.scheduler import (
    CellPartition,
    jobs_of,
    partition_cells,
    plans_of,
    refuse_earlier_cells,
    run_jobs,
)
from ..study.states import states_of, study_folder
from ..study.study_loader import Study
from .execution import plain_warnings
from .exit_codes import EXIT_FAILED
from .interrupts import interruptible
from .progress_display import late_progress
from .results import show_results
from .study_progress import CellLines, NullDisplay, Progress, StudyProgress, print_event
from .terminal import echo


@attrs.frozen(kw_only=True)
class StudyRun:
    """One call of `boostlora ablate`."""

    study: Study
    runs: Path
    again: str
    """The command that resumes the study."""
    as_json: bool
    quiet: bool

    @property
    def folder(self) -> Path:
        """The study's folder."""
        return study_folder(self.runs, self.study.record.name)

    def run(self, *, retry: bool, keep: Callable[..., StudyRecord]) -> None:
        """Run the missing cells and print the results; exit with 3 if cells failed."""
        with interruptible(self._how_to_resume):
            with self._working("checking cells"):
                refuse_earlier_cells(self.study, self.runs)
                todo = partition_cells(self.study, self.runs, retry=retry)
                keys = {state.cell.key for state in todo.open}
                if keys:  # a study that cannot run writes nothing
                    with blame("executor", self.study.record.executor):
                        self.study.executor.check()
                    plans_of(self.study, keys)
            with plain_warnings(), locked(self.folder):
                record = keep(runs_cells=bool(keys))
                self._head(todo)
                if keys and isinstance(self.study.executor, DetachedExecutor):
                    self._submit(keys)
                    return
                if keys:
                    self._conduct(todo, keys)
                self._conclude(record)

    @contextmanager
    def _working(self, what: str) -> Generator[None]:
        """Show that the block works on something, if it takes long."""
        with nullcontext(no_report) if self.quiet else late_progress() as report:
            report(what, 0, 0)
            yield

    def _how_to_resume(self) -> str:
        done, total = len(partition_cells(self.study, self.runs).finished), len(self.study.distinct)
        return f"{done} of {count_text(total, 'cell')} finished; every finished round is kept. Resume with: {self.again}"

    def _head(self, todo: CellPartition) -> None:
        record, total = self.study.record, len(self.study.distinct)
        if self.as_json:
            counts = {"cells": total, "cached": len(todo.finished), "open": len(todo.open)}
            print_event(
                "study_started", name=record.name, sha256=record.sha256, folder=str(self.folder), **counts
            )
            return
        if self.quiet:
            return
        echo(record.name, nl=False, bold=True)
        echo(f" · {self.folder}")
        parts = [f"{len(todo.finished)} of {count_text(total, 'cell')} cached"]
        parts += [f"{len(todo.open)} to run"] if todo.open else []
        parts += [f"{len(todo.failed)} failed before (retry them with --retry)"] if todo.failed else []
        parts += [f"{len(record.excluded)} excluded"] if record.excluded else []
        echo(" · ".join(parts) + (f" · executor {record.executor}" if todo.open else ""))

    def _conduct(self, todo: CellPartition, keys: set[str]) -> None:
        progress = Progress(self.study, self.runs, todo.open)
        display = (NullDisplay if self.quiet else CellLines if self.as_json else StudyProgress)(progress)
        with self._working("preparing cells"):
            jobs = jobs_of(self.study, self.runs, keys)
        with display.showing(), closing(run_jobs(self.study.executor, jobs)) as events:
            for result in events:
                display.tick(result)

    def _submit(self, keys: set[str]) -> None:
        jobs = jobs_of(self.study, self.runs, keys)
        new, queued = submit(self.study.executor, self.folder, jobs)
        name = self.study.record.name
        if self.as_json:
            print_event("study_submitted", submitted=new, already_queued=queued)
        elif not self.quiet:
            echo(f"{count_text(new, 'cell')} submitted" + (f", {queued} already queued" if queued else ""))
            echo(f"progress:       {command_line('boostlora', 'status', name)}")
            echo(f"results so far: {command_line('boostlora', 'collect', name)}")

    def _conclude(self, record: StudyRecord) -> None:
        show_results(record, self.runs, as_json=self.as_json, quiet=self.quiet)
        states = states_of(self.runs, record)
        failed = {s.cell.key for s in states if s.status == "failed"}
        if self.quiet:
            echo(self.folder)
        if failed:
            if not self.as_json:
                cells = f"{len(failed)} cell{'s' * (len(failed) != 1)} failed"
                why = command_line("boostlora", "status", record.name)
                echo(f"{cells}; causes: {why}; retry with: {self.again} --retry", err=True)
            sys.exit(EXIT_FAILED)
