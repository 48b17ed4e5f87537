"""Ask a small LoRA adapter, trained for a moment and thrown away, which directions it would take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from ...engine.contracts import GradientOracle, SiteView
from ...engine.foundation.options import option, positive
from ...engine.hookspecs import hookimpl
from ...engine.sdk.directions import DataDriven, Pairs, Unused, finite, leading_pairs


@attrs.frozen(kw_only=True)
class Probe(DataDriven):
    """The r leading singular pairs of `B A`, LoRA factors trained for a few steps, earlier rounds' directions projected out.

    Where `gradient` looks at a point, a probe walks some steps; its factors are used for their directions alone.
    """

    steps: int = option(8, "optimiser steps of a probe: each takes one of the `batches`, in turn", min=1)
    lr: float = option(0.01, "learning rate of a probe", positive)

    @property
    def passes(self) -> int:
        """As many as it takes for a step on one of the `batches` at a time; the last may be a part of one."""
        return -(-self.steps // self.batches)

    def pairs(
        self,
        sites: Sequence[SiteView],
        places: Mapping[str, Unused],
        earlier: Sequence[int],
        rank: int,
        oracle: GradientOracle,
    ) -> Mapping[str, Pairs]:
        """Train once, all sites together; the singular value decomposition is that of a small core."""
        del sites, earlier
        trained = oracle.probe(rank + self.oversample, self.steps, self.lr)
        found = dict[str, Pairs]()
        for name, place in places.items():
            B, At = (finite(factor, name, "probe's factors") for factor in trained[name])
            found[name] = leading_pairs(B, At, place, rank)
        return found


@hookimpl
def register_bases(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `probe`."""
    register("probe", Probe)
