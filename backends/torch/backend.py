"""The torch backend as a plugin."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from ...engine.contracts import BoostedModel, ModelSource, Site, WeightStore
from ...engine.errors import UsageError
from ...engine.foundation.process_group import ProcessGroup
from ...engine.foundation.run_context import Report, no_report
from ...engine.hookspecs import hookimpl
from .options import ComputeOptions


@attrs.frozen(kw_only=True)
class Torch(ComputeOptions):
    """PyTorch modules, Hugging Face's among them; only cores are trained, merges go through a float32 master."""

    @property
    def architectures(self) -> frozenset[str]:
        """What it can compute."""
        return frozenset({"mlp", "causal-lm/*", "classifier/*", "torch-module"})

    @property
    def rules(self) -> frozenset[str]:
        """The optimiser rules it implements."""
        return frozenset({"adam", "sgd"})

    def check(self) -> None:
        """Refuse a missing library, an absent device, and a precision that the device does not have."""
        _require_torch()
        from .devices import resolve  # noqa: PLC0415 - seconds to import

        resolve(self.device, self.dtype)

    def join(self) -> ProcessGroup:
        """Meet the other processes that torchrun has started: what is heavy is then shared out, one GPU a process.

        Called before anything else. Raises `UsageError` in all of them where one has no device.
        """
        _require_torch()
        from .devices import resolve  # noqa: PLC0415
        from .distributed import join  # noqa: PLC0415

        processes = join(self.device)
        processes.collected(lambda: resolve(self.device, self.dtype) and None)
        return processes

    def open(self, source: ModelSource, sites: Sequence[Site], report: Report = no_report) -> BoostedModel:
        """Load the module onto the device."""
        self.check()
        from .model import TorchModel  # noqa: PLC0415

        return TorchModel(source, sites, self, report)

    def store(self, source: ModelSource, sites: Sequence[Site], report: Report = no_report) -> WeightStore:
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
