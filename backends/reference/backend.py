"""The reference backend as a plugin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import attrs

from ...engine.contracts import BoostedModel, ModelSource, Site, WeightStore
from ...engine.foundation.options import option, whole
from ...engine.foundation.run_context import Report, no_report
from ...engine.hookspecs import hookimpl


@attrs.frozen(kw_only=True)
class Reference:
    """NumPy and SciPy in float64, gradients by hand: slow, small, and the measure of other backends."""

    dtype: Literal["float64", "float32"] = option(
        "float64", "float32 shows how much rounding an honest computation in float32 has"
    )
    threads: int = option(1, "BLAS threads; a run is bit-identical only for the same number", whole)

    @property
    def architectures(self) -> frozenset[str]:
        """What it can compute."""
        from .nets import ARCHITECTURES  # noqa: PLC0415 - SciPy is not needed to list plugins

        return frozenset(ARCHITECTURES)

    @property
    def rules(self) -> frozenset[str]:
        """The optimiser rules it implements."""
        from .optimizers import RULES  # noqa: PLC0415

        return frozenset(RULES)

    @property
    def itemsize(self) -> int:
        """8, or 4 in float32."""
        return 8 if self.dtype == "float64" else 4

    def check(self) -> None:
        """NumPy and SciPy are always there."""

    def open(self, source: ModelSource, sites: Sequence[Site], report: Report = no_report) -> BoostedModel:
        """Load the weights into memory."""
        from .model import ReferenceModel  # noqa: PLC0415

        return ReferenceModel(source, sites, self.threads, self.dtype, report)

    def store(self, source: ModelSource, sites: Sequence[Site], report: Report = no_report) -> WeightStore:
        """The weights alone, for merges that no model is needed for."""
        from .store import ReferenceStore  # noqa: PLC0415

        del report
        return ReferenceStore(source, sites, self.threads, self.dtype)


@hookimpl
def register_backends(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `reference`."""
    register("reference", Reference)
