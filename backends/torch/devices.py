"""Devices, dtypes and deterministic computation."""

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
class Placement:
    """The device and dtypes of a model."""

    device: torch.device
    compute_dtype: torch.dtype
    """Dtype of weights and activations."""

    @property
    def master_dtype(self) -> torch.dtype:
        """Dtype of trained parameters, losses and merged weights: the compute dtype, but at least float32."""
        return torch.float64 if self.compute_dtype == torch.float64 else torch.float32

    def float64_mode(self) -> AbstractContextManager[object]:
        """A context in which a float64 model never falls back to float32; does nothing for other dtypes."""
        return Float64Mode() if self.compute_dtype == torch.float64 else nullcontext()

    @property
    def loss_scale(self) -> float:
        """Factor on the loss in the backward pass. Gradients below 6e-8 underflow to 0 in float16."""
        return 1024.0 if self.compute_dtype == torch.float16 else 1.0


def resolve(device: str, dtype: str) -> Placement:
    """The placement for a spec's `device` and `dtype`. Raises `UsageError` if this machine does not have it.

    With several processes, each takes the GPU with its local rank.
    """
    available, own = ["cpu"], _local_gpu(device)
    if torch.cuda.is_available():
        available = [f"cuda:{i}" for i in range(torch.cuda.device_count())] + available
    elif torch.backends.mps.is_available():
        available = ["mps", *available]
    first = available[0]
    wanted = {"cuda": own, "auto": own if len(available) > 1 and first != "mps" else first}.get(
        device, device
    )
    if wanted not in available:
        raise UsageError(
            f'backend.device = "{device}": not available here; available devices: {", ".join(available)}'
        )
    if wanted == "mps" and dtype == "float64":
        raise UsageError('backend.dtype = "float64": MPS does not support it; set backend.device = "cpu"')
    return Placement(device=torch.device(wanted), compute_dtype=DTYPES[dtype])


def _local_gpu(device: str) -> str:
    """The GPU of this process: the first one, or with several processes the one with its local index."""
    if current().size == 1:
        return "cuda:0"
    me, count = process_info(), torch.cuda.device_count()
    if device.startswith("cuda:") and me.local_size > 1:
        raise UsageError(
            f'backend.device = "{device}" puts {me.local_size} processes on one GPU; "cuda" gives each process its own'
        )
    if 0 < count <= me.local_index and device in {"auto", "cuda"}:
        raise UsageError(
            f"process {me.index} has no GPU of its own: {me.local_size} processes, {count} GPUs on its machine; start at most "
            f'{count} (--nproc-per-node {count}), or set backend.device = "cpu"'
        )
    return f"cuda:{me.local_index}"


@contextmanager
def deterministic(place: Placement, threads: int) -> Generator[None]:
    """A context for bit-reproducible computation.

    It fixes the number of CPU threads, selects deterministic CUDA kernels, and keeps float64 models in float64.
    """
    before, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    if threads:
        torch.set_num_threads(threads)
    if place.device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(mode=True, warn_only=True)
    try:
        with place.float64_mode():
            yield
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(strict, warn_only=warned)


DTYPE_FUNCTIONS = {
    torch.Tensor.to,
    torch.Tensor.type,
    torch.Tensor.softmax,
    torch.softmax,
    F.softmax,
    torch.arange,
    torch.Tensor.sum,
    torch.Tensor.mean,
}
"""Functions that modules call with an explicit `dtype` in their forward pass. Functions that read files are not included."""


class Float64Mode(TorchFunctionMode):
    """Replaces float32 by float64 wherever a module requests float32.

    Hugging Face's norms, softmaxes and rotary tables cast to float32. That is an upcast from half precision, but a downcast
    from float64 that loses nine digits.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Replace `torch.float32` in the arguments by `torch.float64`."""
        if func is torch.Tensor.float:
            return args[0].double()
        if func in DTYPE_FUNCTIONS:
            args = tuple(torch.float64 if x is torch.float32 else x for x in args)
            kwargs = {k: torch.float64 if x is torch.float32 else x for k, x in (kwargs or {}).items()}
        return func(*args, **(kwargs or {}))
