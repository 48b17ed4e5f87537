"""The torch backend as a plugin."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence

import attrs

from ...engine.contracts import Backend, BoostedModel, ModelSource, Site, WeightStore
from ...engine.errors import UsageError
from ...engine.foundation.process_group import ProcessGroup
from ...engine.foundation.run_context import Report, no_report
from ...engine.hookspecs import hookimpl
from .options import ComputeOptions


@attrs.frozen(kw_only=True)
class Torch(ComputeOptions):
    """PyTorch modules, including Hugging Face models. Merges are computed in a master dtype of at least float32."""

    @property
    def architectures(self) -> frozenset[str]:
        """The architectures it supports."""
        return frozenset({"mlp", "causal-lm/*", "classifier/*", "sequence-classifier/*", "torch-module"})

    @property
    def rules(self) -> frozenset[str]:
        """The optimiser rules it implements."""
        return frozenset({"adam", "sgd"})

    def check(self) -> None:
        """Raise `UsageError` if torch or the device is missing, or if the device does not support the dtype."""
        _require_torch()
        from .devices import resolve  # noqa: PLC0415 - seconds to import

        resolve(self.device, self.dtype)

    def join(self) -> ProcessGroup:
        """Join the process group that torchrun has started; heavy work is then split, one GPU per process.

        Called before anything else. Raises `UsageError` in every process if one of them has no device.
        """
        _require_torch()
        from .devices import resolve  # noqa: PLC0415
        from .distributed import join  # noqa: PLC0415

        processes = join(self.device)
        processes.gather_results(lambda: resolve(self.device, self.dtype) and None)
        return processes

    def open(self, source: ModelSource, sites: Sequence[Site], report: Report = no_report) -> BoostedModel:
        """Load the module onto the device."""
        self.check()
        from .model import TorchModel  # noqa: PLC0415

        return TorchModel(source, sites, self, report)

    def store(self, source: ModelSource, sites: Sequence[Site], report: Report = no_report) -> WeightStore:
        """Open the weights only, for merges that do not need the model."""
        del report
        self.check()
        from .store import TorchStore  # noqa: PLC0415

        return TorchStore(source, sites, self)


def _require_torch() -> None:
    if importlib.util.find_spec("torch") is None:
        raise UsageError("backend torch needs PyTorch: pip install 'boostlora[torch]'")


@hookimpl
def register_backends(register: Callable[[str, type[Backend]], None]) -> None:
    """Register `torch`."""
    register("torch", Torch)
