"""The reference backend as a plugin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import attrs

from ...engine.contracts import Backend, BoostedModel, ModelSource, Site, WeightStore
from ...engine.foundation.options import option, whole
from ...engine.foundation.run_context import Report, no_report
from ...engine.hookspecs import hookimpl


@attrs.frozen(kw_only=True)
class Reference:
    """NumPy and SciPy in float64 with manual gradients: slow and simple, the reference for other backends."""

    dtype: Literal["float64", "float32"] = option(
        "float64", "float32 shows how much rounding error a float32 computation has"
    )
    threads: int = option(1, "BLAS threads; a run is bit-identical only for the same number", whole)

    @property
    def architectures(self) -> frozenset[str]:
        """The architectures it supports."""
        from .nets import ARCHITECTURES  # noqa: PLC0415 - SciPy is not needed to list plugins

        return frozenset(ARCHITECTURES)

    @property
    def rules(self) -> frozenset[str]:
        """The optimiser rules it implements."""
        from .optimizers import RULES  # noqa: PLC0415

        return frozenset(RULES)

    @property
    def itemsize(self) -> int:
        """Bytes of the dtype: 8, or 4 for float32."""
        return 8 if self.dtype == "float64" else 4

    def check(self) -> None:
        """Do nothing: NumPy and SciPy are always installed."""

    def open(self, source: ModelSource, sites: Sequence[Site], report: Report = no_report) -> BoostedModel:
        """Load the weights into memory."""
        from .model import ReferenceModel  # noqa: PLC0415

        return ReferenceModel(source, sites, self.threads, self.dtype, report)

    def store(self, source: ModelSource, sites: Sequence[Site], report: Report = no_report) -> WeightStore:
        """Open the weights only, for merges that do not need the model."""
        from .store import ReferenceStore  # noqa: PLC0415

        del report
        return ReferenceStore(source, sites, self.threads, self.dtype)


@hookimpl
def register_backends(register: Callable[[str, type[Backend]], None]) -> None:
    """Register `reference`."""
    register("reference", Reference)
