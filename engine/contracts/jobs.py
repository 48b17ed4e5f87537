"""Executors, which run the cells of a study, and trackers, which record metrics. Neither changes a result."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import attrs

if TYPE_CHECKING:
    from .records import RoundRecord
    from .run_info import RunInfo, RunResult


@attrs.frozen(kw_only=True)
class Job:
    """One cell of a study, as sent to another process or machine. All fields are JSON types."""

    cell: str
    """The first 12 digits of the hash of the cell's spec: its name in the study."""
    label: str
    """A readable name: arm, block, seed."""
    spec: str
    """The cell's canonical TOML."""
    folder: str
    """The run's folder, absolute, on storage shared by all workers."""
    study: str
    """The study's folder, where failures and logs are kept."""
    cache: str
    """The cache folder shared by workers."""
    plugin_files: tuple[str, ...] = ()
    inputs: Mapping[str, str] = attrs.field(factory=dict)
    """SHA-256 of every file and folder that the spec or the plugin files name, by absolute path on the sender's machine."""
    store: str = ""
    """Folder with the inputs under their hashes, for workers without the sender's paths; empty: none."""


@attrs.frozen(kw_only=True)
class JobResult:
    """The result of a job."""

    cell: str
    status: Literal["finished", "failed", "busy", "lost"]
    """`failed`: the run failed, its cause is on disk; `busy`: another process runs the cell; `lost`: its worker died."""
    cause: str = ""


class _RunsCells(Protocol):
    """Common part of all executors. A job is one call of `boostlora.engine.study.cell_runner.run_cell(job)` on some machine."""

    @property
    def remote(self) -> bool:
        """Whether cells may run on other machines. If so, their inputs are first copied to shared storage, by hash."""
        ...

    def check(self) -> None:
        """Raises `UsageError` naming what is missing to run here. Called before any work."""
        ...


@runtime_checkable
class Executor(_RunsCells, Protocol):
    """Runs the cells of a study while the command waits."""

    def run(self, jobs: Sequence[Job]) -> Generator[JobResult | None]:
        """Run all jobs, several at a time; yield each as it ends, and None several times a second meanwhile.

        Closing the generator stops every worker at once (finished rounds are on disk). A worker that dies is `lost`, and the
        others continue. Progress is read from the runs' folders.
        """
        ...


@runtime_checkable
class DetachedExecutor(_RunsCells, Protocol):
    """Submits cells to a queue that outlives the command: `submit` returns at once, `poll` reports later."""

    def submit(self, jobs: Sequence[Job]) -> Mapping[str, str]:
        """Submit all jobs; their ids in the queue, by cell."""
        ...

    def poll(self, study: str, ids: Mapping[str, str]) -> Mapping[str, JobResult | None]:
        """The result of every submitted cell (None: waiting or running); `study` is the study's folder, `ids` are by cell."""
        ...

    def cancel(self, study: str, ids: Mapping[str, str]) -> None:
        """Remove cells from the queue, running or not."""
        ...


@runtime_checkable
class TrackedRun(Protocol):
    """One run that a tracker records."""

    def round_finished(self, record: RoundRecord) -> None:
        """Called after a round is on disk, the base (round 0) included; a resumed run repeats its earlier rounds."""
        ...

    def run_finished(self, result: RunResult) -> None:
        """Called after the last round; not when the run is interrupted."""
        ...

    def close(self) -> None:
        """Called last, even after a failure: close files and connections."""
        ...


@runtime_checkable
class Tracker(Protocol):
    """Sends a run's metrics to an experiment tracker. A tracker that raises is disabled; it never fails the run.

    `follow` and the methods of the `TrackedRun` are called one at a time in a thread of the tracker's own. The run does not wait for
    them, except at its end, while the tracker still responds.
    """

    def check(self) -> None:
        """Raises `UsageError` if its library is missing, with the command that installs it. Called before any work."""
        ...

    def follow(self, run: RunInfo) -> TrackedRun:
        """Called when a run starts or resumes."""
        ...
