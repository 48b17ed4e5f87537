"""The processes of one run: which there are, by torchrun's environment, and how they exchange results.

Every process runs the same engine: data, selections, draws and plugins are deterministic. Backends split the expensive work.
Process 0 leads: it alone writes the run folder, prints, logs to trackers, and judges completions.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

import attrs

from ..errors import RunError

T = TypeVar("T")


class ProcessGroupError(RunError):
    """Processes of one run have lost their connection, or have diverged."""


@attrs.frozen(kw_only=True)
class ProcessInfo:
    """This process among those that torchrun started."""

    index: int = 0
    size: int = 1
    local_index: int = 0
    """Index among the processes of this machine."""
    local_size: int = 1

    @property
    def leads(self) -> bool:
        """Whether it is process 0, which writes and prints."""
        return self.index == 0

    @property
    def shared(self) -> bool:
        """Whether there are other processes."""
        return self.size > 1


def process_info(environment: Mapping[str, str] = os.environ) -> ProcessInfo:
    """From `RANK`, `WORLD_SIZE`, `LOCAL_RANK` and `LOCAL_WORLD_SIZE`; a single process where these are not torchrun's integers."""
    try:
        index, size = int(environment["RANK"]), int(environment["WORLD_SIZE"])
        local = int(environment["LOCAL_RANK"])
    except (KeyError, ValueError):
        return ProcessInfo()
    local_size = environment.get("LOCAL_WORLD_SIZE", "")
    return ProcessInfo(
        index=index,
        size=size,
        local_index=local,
        local_size=int(local_size) if local_size.isdigit() else size,
    )


class ProcessGroup(Protocol):
    """The processes of one run, connected. Every process calls the same methods in the same order; each call synchronises them."""

    @property
    def index(self) -> int:
        """Index of this process; process 0 leads."""
        ...

    @property
    def size(self) -> int:
        """How many processes there are."""
        ...

    def agree(self, compute: Callable[[], T]) -> T:
        """The result, or the error, of `compute` in process 0; the others do not call it."""
        ...

    def gathered(self, value: T) -> list[T]:
        """The values of all processes, ordered by index."""
        ...


class SingleProcess:
    """The group of a process that runs alone."""

    index = 0
    size = 1

    def agree(self, compute: Callable[[], T]) -> T:
        """The result of `compute`."""
        return compute()

    def gathered(self, value: T) -> list[T]:
        """The value alone."""
        return [value]
