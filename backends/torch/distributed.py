"""Processes that share a run's heavy work: who computes what, and how results are put together."""

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
"""Numbers that are exchanged at once."""
PATIENT = timedelta(days=7)
"""How long a process waits for others: one may pretrain, or judge, for hours. One that has ended is noticed at once."""


def unheard(done: int, total: int) -> None:
    """Nobody wants to know how far it has come."""


@attrs.frozen(kw_only=True)
class TorchProcessGroup:
    """This process among those that compute a run together; by default alone.

    All processes call the same methods in the same order. What one of them raises inside, all raise, so that nobody waits for it.
    """

    rank: int = 0
    size: int = 1
    device: str = "cpu"
    """Where tensors are exchanged: gloo has the CPU's, NCCL the GPU's."""

    def share(self, groups: Sequence[T]) -> Sequence[T]:
        """This process's part of the work: every `size`-th group, so that short and long ones are spread."""
        return groups[self.rank :: self.size]

    def rows(self, costs: Index) -> Index:
        """This process's examples of a batch, where they cost `costs (n,)`; alone all of them, as they stand."""
        if self.size == 1:
            return np.arange(len(costs), dtype=np.int64)
        return np.argsort(costs, kind="stable")[self.rank :: self.size]

    def over(
        self,
        groups: Sequence[Index],
        compute: Callable[[Index], T],
        told: Callable[[int, int], None] = unheard,
    ) -> list[tuple[Index, T]]:
        """Every group with what came of it; each is computed by one process, in the same numbers whoever does it.

        `told(done, total)` hears how far this process has come with its own.
        """
        mine, found = self.share(groups), list[tuple[Index, T]]()
        total = sum(map(len, mine))

        def part() -> list[tuple[Index, T]]:
            done = 0
            for group in mine:
                told(done, total)
                found.append((group, compute(group)))
                done += len(group)
            return found

        return [pair for one in self.collected(part) for pair in one]

    # -- Meetings

    def agree(self, compute: Callable[[], T]) -> T:
        """What `compute` gives, or raises, in rank 0."""
        if self.size == 1:
            return compute()
        said, own = self._tried(compute) if self.rank == 0 else ((None, None), None)
        told: list[Any] = [said]
        with _reaching():
            dist.broadcast_object_list(told, src=0)
        return self._answers(told, own)[0]

    def gathered(self, value: T) -> list[T]:
        """Every process's value, in the order of ranks."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        with _reaching():
            dist.all_gather_object(found, value)
        return found

    def collected(self, compute: Callable[[], T]) -> list[T]:
        """What `compute` gives in every process, in the order of ranks."""
        if self.size == 1:
            return [compute()]
        said, own = self._tried(compute)
        return self._answers(self.gathered(said), own)

    def summed(self, compute: Callable[[], Sequence[Tensor]], like: Sequence[Tensor]) -> list[Tensor]:
        """The sum of every process's tensors, which have the shapes of `like`.

        Added up in float64 and in the order of ranks, so that every process has the same bits, and whenever it is run again.
        """
        if self.size == 1:
            return list(compute())
        (error, parts), own = self._tried(compute)
        failed, total = self._added([torch.zeros_like(x) for x in like] if parts is None else parts, own)
        if failed:
            self._answers([(one, None) for one in self.gathered(error)], own)
        pieces = total.split([x.numel() for x in like])
        return [piece.view(x.shape).to(x) for piece, x in zip(pieces, like, strict=True)]

    def _added(self, tensors: Sequence[Tensor], error: Exception | None) -> tuple[bool, Tensor]:
        """Whether any process has failed, and the sums, end to end."""
        flag = torch.full((1,), float(error is not None), dtype=torch.float64, device=self.device)
        flat = torch.cat([flag, *(x.detach().reshape(-1).to(self.device).to(flag) for x in tensors)])
        for chunk in flat.split(CHUNK):
            found = [torch.empty_like(chunk) for _ in range(self.size)]
            with _reaching():
                dist.all_gather(found, chunk)
            chunk.copy_(found[0])
            for one in found[1:]:
                chunk.add_(one)
        return bool(flat[0] != 0.0), flat[1:]

    def _tried(self, compute: Callable[[], Any]) -> tuple[tuple[Exception | None, Any], Exception | None]:
        """`(error, answer)`, one of them None, as others can be told; and the error as it was raised here."""
        try:
            return (None, compute()), None
        except ProcessGroupError:
            raise  # then nobody is there to be told
        except Exception as error:
            return (_portable(error, self.rank), None), error

    def _answers(self, said: Sequence[tuple[Exception | None, Any]], own: Exception | None) -> list[Any]:
        """Everybody's answers; or the error of the first who met one, as it was raised where that is here."""
        for rank, (error, _) in enumerate(said):
            if error is not None:
                raise own if own is not None and rank == self.rank else error
        return [answer for _, answer in said]


SINGLE = TorchProcessGroup()
_MET = list[TorchProcessGroup]()
"""The team of this process, once it has met: there is one process group in a process."""


def join(device: str) -> TorchProcessGroup:
    """Meet the other processes that torchrun has started; once. They part when the process ends."""
    if _MET:
        return _MET[0]
    me = process_info()
    on_gpu = torch.cuda.is_available() and device in {"auto", "cuda"}
    with _reaching():
        dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=PATIENT)
    atexit.register(_part)
    place = f"cuda:{me.local_rank}" if on_gpu else "cpu"
    processes = TorchProcessGroup(rank=me.rank, size=me.size, device=place)
    _MET.append(processes)
    if on_gpu and me.local_rank < torch.cuda.device_count():
        torch.cuda.set_device(me.local_rank)
    return processes


def current() -> TorchProcessGroup:
    """The team this process has joined; alone, where it has not, whatever its environment says."""
    return _MET[0] if _MET else SINGLE


def _part() -> None:
    with suppress(Exception):  # the others may be gone already
        dist.destroy_process_group()


def _portable(error: Exception, rank: int) -> Exception:
    """An error as it can be sent: those with a message for the user as they are, foreign ones by their words."""
    if isinstance(error, PluginError | MemoryError):
        return error
    if isinstance(error, BoostLoraError):
        plain = type(error).__init__ is Exception.__init__
        return error if plain else RunError(str(error))
    return RunError(f"rank {rank}: {type(error).__name__}: {error}")


@contextmanager
def _reaching() -> Generator[None]:
    """Inside, others are waited for. Raises `ProcessGroupError` where one of them is gone."""
    try:
        yield
    except RuntimeError as error:  # torch's errors of communication are its subclasses
        raise ProcessGroupError(
            "another process of this run has ended, or can no longer be reached; why, it says itself, above or in the log of "
            f"its machine ({type(error).__name__}: {str(error).splitlines()[0]})"
        ) from error
