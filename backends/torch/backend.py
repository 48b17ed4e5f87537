"""The torch backend as a plugin."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

import attrs

from ...engine.contracts import BoostedModel, ModelSource, Site, WeightStore
from ...engine.crew import Team
from ...engine.errors import UsageError
from ...engine.hookspecs import hookimpl
from ...engine.options import Limit, option
from ...engine.workplace import Report, silent

BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
DEVICE = Limit(
    '"auto", "cpu", "mps", "cuda" or "cuda:N"',
    lambda x: bool(re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", x)),
)


@attrs.frozen(kw_only=True)
class Torch:
    """PyTorch modules, Hugging Face's among them; only cores are trained, merges go through a float32 master."""

    device: str = option("auto", 'where to compute: "auto" takes CUDA, else MPS, else the CPU', DEVICE)
    dtype: Literal["float32", "float64", "bfloat16", "float16"] = option(
        "float32", "precision of weights and activations; trained numbers and merges are float32 at least"
    )
    micro_batch: int = option(
        0, "examples computed at once in training, gradients added up; 0: the whole batch", min=0
    )
    eval_tokens: int = option(2048, "tokens (or rows) computed at once in evaluation, padding counted", min=1)
    checkpointing: bool = option(
        False, "keep only the layers' inputs in training and compute the rest twice (Hugging Face models)"
    )
    threads: int = option(0, "CPU threads; 0: torch's own choice. Another number, other last bits", min=0)

    @property
    def architectures(self) -> frozenset[str]:
        """What it can compute."""
        return frozenset({"mlp", "causal-lm/*", "classifier/*", "torch-module"})

    @property
    def rules(self) -> frozenset[str]:
        """The optimiser rules it implements."""
        return frozenset({"adam", "sgd"})

    @property
    def itemsize(self) -> int:
        """Bytes of the compute dtype."""
        return BYTES[self.dtype]

    def check(self) -> None:
        """Refuse a missing library, an absent device, and a precision that the device does not have."""
        _require_torch()
        from .devices import resolve  # noqa: PLC0415 - seconds to import

        resolve(self.device, self.dtype)

    def join(self) -> Team:
        """Meet the other processes that torchrun has started: what is heavy is then shared out, one GPU a process.

        Called before anything else. Raises `UsageError` in all of them where one has no device.
        """
        _require_torch()
        from .crew import join  # noqa: PLC0415
        from .devices import resolve  # noqa: PLC0415

        team = join(self.device)
        team.collected(lambda: resolve(self.device, self.dtype) and None)
        return team

    def open(self, source: ModelSource, sites: Sequence[Site], report: Report = silent) -> BoostedModel:
        """Load the module onto the device."""
        self.check()
        from .model import TorchModel  # noqa: PLC0415

        return TorchModel(source, sites, self, report)

    def store(self, source: ModelSource, sites: Sequence[Site], report: Report = silent) -> WeightStore:
        """The weights alone, for merges that no model is needed for."""
        del report
        self.check()
        from .store import TorchStore  # noqa: PLC0415

        return TorchStore(source, sites, self)


def _require_torch() -> None:
    if importlib.util.find_spec("torch") is None:
        raise UsageError("backend torch needs PyTorch: pip install 'boostlora[torch]'")


@hookimpl
def register_backends(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `torch`."""
    register("torch", Torch)
