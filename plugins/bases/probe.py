"""The directions of a LoRA adapter that is trained for a few steps and discarded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from ...engine.foundation.options import option, positive
from ...engine.hookspecs import hookimpl
from ...engine.sdk.directions import (
    DataDrivenBasis,
    PairsRequest,
    SingularPairs,
    leading_singular_pairs,
    require_finite,
)


@attrs.frozen(kw_only=True)
class Probe(DataDrivenBasis):
    """The r leading singular pairs of `B A`, LoRA factors trained for a few steps, earlier rounds' directions projected out.

    `gradient` is local to one point; a probe follows the loss for some steps. Only the directions of its factors are used.
    """

    steps: int = option(8, "optimiser steps of the probe; each uses one of the `batches`, in turn", min=1)
    lr: float = option(0.01, "learning rate of the probe", positive)

    @property
    def passes(self) -> int:
        """`ceil(steps / batches)`: a step uses one of the `batches`, so the last pass may be partial."""
        return -(-self.steps // self.batches)

    def pairs(self, request: PairsRequest) -> Mapping[str, SingularPairs]:
        """Train the probe once for all sites, then take the SVD of `B A` through its small core."""
        trained = request.oracle.probe(request.rank + self.oversample, self.steps, self.lr)
        found = dict[str, SingularPairs]()
        for name, complement in request.complements.items():
            B, At = (require_finite(factor, name, "probe's factors") for factor in trained[name])
            found[name] = leading_singular_pairs(B, At, complement, request.rank)
        return found


@hookimpl
def register_bases(register: Callable[[str, type[Any]], None]) -> None:
    """Register `probe`."""
    register("probe", Probe)
