"""Several processes that compute one run together: who is there, as torchrun's environment says, and how they agree.

Every process runs the same engine: data, selections, draws and plugins are deterministic. Backends share out what is heavy.
Rank 0 leads: it alone writes into the run's folder, prints, tells trackers, and judges.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

import attrs

from ..errors import RunError

T = TypeVar("T")


class ProcessGroupError(RunError):
    """Processes that compute one run together have lost each other, or have gone different ways."""


@attrs.frozen(kw_only=True)
class ProcessInfo:
    """This process among those that were started together."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Its number among those of this machine."""
    local_size: int = 1

    @property
    def leads(self) -> bool:
        """Whether it is the one that writes and speaks."""
        return self.rank == 0

    @property
    def shared(self) -> bool:
        """Whether there are others."""
        return self.size > 1


def process_info(environment: Mapping[str, str] = os.environ) -> ProcessInfo:
    """From `RANK`, `WORLD_SIZE`, `LOCAL_RANK` and `LOCAL_WORLD_SIZE`; alone, where these are not torchrun's whole numbers."""
    try:
        rank, size = int(environment["RANK"]), int(environment["WORLD_SIZE"])
        local = int(environment["LOCAL_RANK"])
    except (KeyError, ValueError):
        return ProcessInfo()
    local_size = environment.get("LOCAL_WORLD_SIZE", "")
    return ProcessInfo(
        rank=rank, size=size, local_rank=local, local_size=int(local_size) if local_size.isdigit() else size
    )


class ProcessGroup(Protocol):
    """A crew that has met. Every process calls the same verbs in the same order; each call is a meeting."""

    @property
    def rank(self) -> int:
        """This process's number; 0 leads."""
        ...

    @property
    def size(self) -> int:
        """How many processes there are."""
        ...

    def agree(self, compute: Callable[[], T]) -> T:
        """What `compute` gives, or raises, in rank 0; nobody else calls it."""
        ...

    def gathered(self, value: T) -> list[T]:
        """Every process's value, in the order of ranks."""
        ...


class SingleProcess:
    """The team of a process that has nobody to ask."""

    rank = 0
    size = 1

    def agree(self, compute: Callable[[], T]) -> T:
        """Its own answer."""
        return compute()

    def gathered(self, value: T) -> list[T]:
        """Its own value."""
        return [value]
