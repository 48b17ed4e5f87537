"""Devices and precisions: what a spec names, what this machine has, and how a computation is kept repeatable."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import attrs
import torch
from torch.nn import functional as F  # noqa: N812 - the name the field uses
from torch.overrides import TorchFunctionMode

from ...engine.errors import UsageError
from ...engine.foundation.process_group import process_info
from .distributed import current

DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@attrs.frozen(kw_only=True)
class Place:
    """Where and in which precisions a model is computed."""

    device: torch.device
    compute: torch.dtype
    """Weights and activations."""

    @property
    def master(self) -> torch.dtype:
        """Trained numbers, losses and sums of updates: the compute dtype, float32 at least."""
        return torch.float64 if self.compute == torch.float64 else torch.float32

    def exact(self) -> AbstractContextManager[Any]:
        """Inside, nothing is computed in less than float64, where that is the compute dtype."""
        return Exact() if self.compute == torch.float64 else nullcontext()

    @property
    def loss_scale(self) -> float:
        """Factor on the loss in the backward pass: float16 has no number between 0 and 6e-8, where gradients live."""
        return 1024.0 if self.compute == torch.float16 else 1.0


def resolve(device: str, dtype: str) -> Place:
    """The place that a spec's `device` and `dtype` name. Raises `UsageError` where this machine has no such place.

    Of processes that share a run, each has the GPU of its number on its machine.
    """
    there, own = ["cpu"], _own_gpu(device)
    if torch.cuda.is_available():
        there = [f"cuda:{i}" for i in range(torch.cuda.device_count())] + there
    elif torch.backends.mps.is_available():
        there = ["mps", *there]
    wanted = {"cuda": own, "auto": own if len(there) > 1 and there[0] != "mps" else there[0]}.get(
        device, device
    )
    if wanted not in there:
        raise UsageError(f'backend.device = "{device}": there is none here; there are: {", ".join(there)}')
    if wanted == "mps" and dtype == "float64":
        raise UsageError('backend.dtype = "float64": MPS has no such numbers; set backend.device = "cpu"')
    return Place(device=torch.device(wanted), compute=DTYPES[dtype])


def _own_gpu(device: str) -> str:
    """The GPU of this process: the first, or, of several processes on the machine, one for each."""
    if current().size == 1:
        return "cuda:0"
    me, count = process_info(), torch.cuda.device_count()
    if device.startswith("cuda:") and me.local_size > 1:
        raise UsageError(
            f'backend.device = "{device}" puts {me.local_size} processes on one GPU; "cuda" gives each its own'
        )
    if 0 < count <= me.local_rank and device in {"auto", "cuda"}:
        raise UsageError(
            f"rank {me.rank} has no GPU of its own: {me.local_size} processes, {count} GPUs on its machine; start at most "
            f'{count} (--nproc-per-node {count}), or set backend.device = "cpu"'
        )
    return f"cuda:{me.local_rank}"


@contextmanager
def repeatable(place: Place, threads: int) -> Generator[None]:
    """Sums in one order and numbers of one precision.

    A fixed number of CPU threads, deterministic kernels on an accelerator, and no float32 inside float64.
    """
    before, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    if threads:
        torch.set_num_threads(threads)
    if place.device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(mode=True, warn_only=True)
    try:
        with place.exact():
            yield
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(strict, warn_only=warned)


STEPS_ASIDE = {
    torch.Tensor.to,
    torch.Tensor.type,
    torch.Tensor.softmax,
    torch.softmax,
    F.softmax,
    torch.arange,
    torch.Tensor.sum,
    torch.Tensor.mean,
}
"""Functions through which modules choose a precision for a passage of their own; reading a file is none of them."""


class Exact(TorchFunctionMode):
    """Inside, what a float64 model would do in float32 it does in float64.

    Hugging Face's norms, softmaxes and rotary tables step over to float32 on purpose: up from half precision, but down from
    float64, where it would cost nine digits.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Put float64 where float32 is asked for."""
        if func is torch.Tensor.float:
            return args[0].double()
        if func in STEPS_ASIDE:
            args = tuple(torch.float64 if x is torch.float32 else x for x in args)
            kwargs = {k: torch.float64 if x is torch.float32 else x for k, x in (kwargs or {}).items()}
        return func(*args, **(kwargs or {}))
