"""Data parallelism: how work is sharded over processes, and how results are gathered."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar

import attrs
import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from ...engine.errors import BoostLoraError, PluginError, RunError
from ...engine.foundation.process_group import ProcessGroupError, process_info

T = TypeVar("T")
Index = NDArray[np.int64]

CHUNK = 1 << 22
"""Values exchanged in one collective call."""
TIMEOUT = timedelta(days=7)
"""Timeout of collectives. A process may pretrain or evaluate for hours; one that has exited is detected at once."""


def no_progress(done: int, total: int) -> None:
    """Ignore progress."""


@attrs.frozen(kw_only=True)
class TorchProcessGroup:
    """The process group of a run; by default a single process.

    All processes call the same methods in the same order. An exception in one of them is raised in all, so that none waits
    forever.
    """

    index: int = 0
    size: int = 1
    device: str = "cpu"
    """Device of exchanged tensors: gloo needs them on the CPU, NCCL on the GPU."""

    def shard(self, groups: Sequence[T]) -> Sequence[T]:
        """This process's shard: every `size`-th group, so that short and long groups are spread evenly."""
        return groups[self.index :: self.size]

    def shard_rows(self, costs: Index) -> Index:
        """Indices of this process's examples of a batch with `costs (n,)`; a single process has all, in order."""
        if self.size == 1:
            return np.arange(len(costs), dtype=np.int64)
        # Dealt in order of cost, so that processes have about equal work; stable, so that all compute the same deal.
        return np.argsort(costs, kind="stable")[self.index :: self.size]

    def map_groups(
        self,
        groups: Sequence[Index],
        compute: Callable[[Index], T],
        progress: Callable[[int, int], None] = no_progress,
    ) -> list[tuple[Index, T]]:
        """Every group with its result. Each is computed by one process; the result does not depend on which.

        `progress(done, total)` counts the examples of this process's groups.
        """
        mine, found = self.shard(groups), list[tuple[Index, T]]()
        total = sum(map(len, mine))

        def part() -> list[tuple[Index, T]]:
            done = 0
            for group in mine:
                progress(done, total)
                found.append((group, compute(group)))
                done += len(group)
            progress(done, total)
            return found

        return [pair for shard in self.gather_results(part) for pair in shard]

    # -- Collectives

    def agree(self, compute: Callable[[], T]) -> T:
        """Broadcast the result, or the exception, of `compute` in process 0."""
        if self.size == 1:
            return compute()
        attempt, own = self._attempt(compute) if self.index == 0 else ((None, None), None)
        received: list[Any] = [attempt]
        with _communication():
            dist.broadcast_object_list(received, src=0)
        return self._results(received, own)[0]

    def gathered(self, value: T) -> list[T]:
        """All-gather: every process's value, in rank order."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        with _communication():
            dist.all_gather_object(found, value)
        return found

    def gather_results(self, compute: Callable[[], T]) -> list[T]:
        """All-gather of the results of `compute`, in rank order. Raises in all processes if one raises."""
        if self.size == 1:
            return [compute()]
        attempt, own = self._attempt(compute)
        return self._results(self.gathered(attempt), own)

    def all_reduce(self, compute: Callable[[], Sequence[Tensor]], like: Sequence[Tensor]) -> list[Tensor]:
        """All-reduce: the sum over processes of tensors with the shapes of `like`.

        Summed in float64 in rank order, so that the result is bit-identical in every process and in every run.
        """
        if self.size == 1:
            return list(compute())
        (error, parts), own = self._attempt(compute)
        failed, total = self._flat_sum([torch.zeros_like(x) for x in like] if parts is None else parts, own)
        if failed:
            self._results([(failure, None) for failure in self.gathered(error)], own)
        pieces = total.split([x.numel() for x in like])
        return [piece.view(x.shape).to(x) for piece, x in zip(pieces, like, strict=True)]

    def _flat_sum(self, tensors: Sequence[Tensor], error: Exception | None) -> tuple[bool, Tensor]:
        """Whether any process has failed, and the flattened sums."""
        # The flag travels with the values: a failure costs no second collective in the usual case.
        flag = torch.full((1,), float(error is not None), dtype=torch.float64, device=self.device)
        flat = torch.cat([flag, *(x.detach().reshape(-1).to(self.device).to(flag) for x in tensors)])
        for chunk in flat.split(CHUNK):
            found = [torch.empty_like(chunk) for _ in range(self.size)]
            with _communication():
                dist.all_gather(found, chunk)
            # Not `dist.all_reduce`: its order of summation depends on the backend and on the number of processes.
            chunk.copy_(found[0])
            for part in found[1:]:
                chunk.add_(part)
        return bool(flat[0] != 0.0), flat[1:]

    def _attempt(self, compute: Callable[[], Any]) -> tuple[tuple[Exception | None, Any], Exception | None]:
        """`(error, result)` in picklable form, one of them None; and the original exception."""
        try:
            return (None, compute()), None
        except ProcessGroupError:
            raise  # the group is broken: nothing can be sent
        except Exception as error:
            return (_picklable(error, self.index), None), error

    def _results(self, attempts: Sequence[tuple[Exception | None, Any]], own: Exception | None) -> list[Any]:
        """The results of all processes. Raises the first error by index; in that process, the original exception."""
        for index, (error, _) in enumerate(attempts):
            if error is not None:
                raise own if own is not None and index == self.index else error
        return [result for _, result in attempts]


SINGLE = TorchProcessGroup()
_JOINED = list[TorchProcessGroup]()
"""The group that this process has joined, if any; torch allows one per process."""


def join(device: str) -> TorchProcessGroup:
    """Join torchrun's process group; later calls return the same group. It is destroyed when the process exits."""
    if _JOINED:
        return _JOINED[0]
    me = process_info()
    on_gpu = torch.cuda.is_available() and device in {"auto", "cuda"}
    with _communication():
        dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=TIMEOUT)
    atexit.register(_leave)
    place = f"cuda:{me.local_index}" if on_gpu else "cpu"
    processes = TorchProcessGroup(index=me.index, size=me.size, device=place)
    _JOINED.append(processes)
    if on_gpu and me.local_index < torch.cuda.device_count():
        torch.cuda.set_device(me.local_index)
    return processes


def current() -> TorchProcessGroup:
    """The group that this process has joined, else a single process, whatever the environment variables say."""
    return _JOINED[0] if _JOINED else SINGLE


def _leave() -> None:
    with suppress(Exception):  # the other processes may have exited already
        dist.destroy_process_group()


def _picklable(error: Exception, index: int) -> Exception:
    """An exception that can be pickled: our own errors unchanged, others as a `RunError` with their message."""
    if isinstance(error, PluginError | MemoryError):
        return error
    if isinstance(error, BoostLoraError):
        plain = type(error).__init__ is Exception.__init__
        return error if plain else RunError(str(error))
    return RunError(f"process {index}: {type(error).__name__}: {error}")


@contextmanager
def _communication() -> Generator[None]:
    """A context for collectives. Raises `ProcessGroupError` if a process has exited."""
    try:
        yield
    except RuntimeError as error:  # torch's communication errors are subclasses
        raise ProcessGroupError(
            "another process of this run has ended or cannot be reached; see its error above, or in the log of its machine "
            f"({type(error).__name__}: {str(error).splitlines()[0]})"
        ) from error
