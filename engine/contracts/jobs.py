"""What executors run, and trackers hear of: plugins that carry a study or watch it, and change no result."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import attrs

if TYPE_CHECKING:
    from .records import RoundRecord
    from .run_info import RunInfo, RunResult


@attrs.frozen(kw_only=True)
class Job:
    """One cell of a study as it crosses to another process or machine: strings only, so that JSON carries it."""

    cell: str
    """The first 12 digits of the hash of the cell's spec: its name in the study."""
    label: str
    """The cell for people: arm, block, seed."""
    spec: str
    """The cell's canonical TOML."""
    folder: str
    """The run's folder, absolute, on storage that every worker sees."""
    study: str
    """The study's folder, where failures and logs are kept."""
    cache: str
    """The cache that workers share."""
    plugin_files: tuple[str, ...] = ()
    inputs: Mapping[str, str] = attrs.field(factory=dict)
    """SHA-256 of every file and folder that the spec or the plugin files name, by absolute path on the sender's machine."""
    store: str = ""
    """Folder in which a worker that does not see such a path finds its content under its hash; empty: there is none."""


@attrs.frozen(kw_only=True)
class JobResult:
    """What became of a job."""

    cell: str
    status: Literal["finished", "failed", "busy", "lost"]
    """`failed`: the cell itself, its cause is on disk; `busy`: another process is at work on it; `lost`: its worker died."""
    cause: str = ""


class _RunsCells(Protocol):
    """What every executor has. Every job is one call of `boostlora.engine.study.cell_runner.run_cell(job)` on some machine."""

    @property
    def remote(self) -> bool:
        """Whether cells may run on other machines: then their inputs are first copied to shared storage under their hash."""
        ...

    def check(self) -> None:
        """Called before any work. Raises `UsageError` where it cannot work here, saying what is missing."""
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
    """Hands cells to a queue that outlives the command: `submit` returns at once, `poll` reports later."""

    def submit(self, jobs: Sequence[Job]) -> Mapping[str, str]:
        """Queue all jobs; their ids in the queue, by cell."""
        ...

    def poll(self, study: str, ids: Mapping[str, str]) -> Mapping[str, JobResult | None]:
        """The result of every submitted cell (None: waiting or running); `study` is the study's folder, `ids` are by cell."""
        ...

    def cancel(self, study: str, ids: Mapping[str, str]) -> None:
        """Remove cells from the queue, running or not."""
        ...


@runtime_checkable
class TrackedRun(Protocol):
    """One run as a tracker follows it."""

    def round_finished(self, record: RoundRecord) -> None:
        """Called after a round is on disk, the base (round 0) included; a resumed run tells its earlier rounds again."""
        ...

    def run_finished(self, result: RunResult) -> None:
        """Called after the last round; not when the run is interrupted."""
        ...

    def close(self) -> None:
        """Called last, whatever happened: let go of files and connections."""
        ...


@runtime_checkable
class Tracker(Protocol):
    """Tells a run's metrics to a tool that records experiments. One that raises is silenced, and never fails the run.

    `follow`, and what follows the run, are called one after the other in a thread of the tracker's own: the run goes on meanwhile,
    and waits for it at the end only as long as it answers.
    """

    def check(self) -> None:
        """Called before any work. Raises `UsageError` where its library is missing, saying how to install it."""
        ...

    def follow(self, run: RunInfo) -> TrackedRun:
        """Called when a run begins or goes on."""
        ...
