"""The principal directions of a layer's inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from ...engine.foundation.options import option
from ...engine.hookspecs import hookimpl
from ...engine.sdk.directions import (
    DataDrivenBasis,
    PairsRequest,
    SingularPairs,
    SiteComplements,
    leading_singular_pairs,
    principal_directions,
)


@attrs.frozen(kw_only=True)
class Activation(DataDrivenBasis):
    """The r leading principal directions of a layer's inputs and their images under its current weight, earlier rounds projected out.

    With inputs `X (n, d_in)`, V spans the leading eigenvectors of `(I - P_V) X'X/n (I - P_V)`; U and V are then the singular pairs of
    `(I - P_U) W V V'`. The loss does not enter.
    """

    sweeps: int = option(
        2,
        "passes over the examples: subspace iterations, then one Rayleigh-Ritz step that orders the directions",
        min=2,
    )

    @property
    def passes(self) -> int:
        """The option `sweeps`."""
        return self.sweeps

    def pairs(self, request: PairsRequest) -> Mapping[str, SingularPairs]:
        """Right directions of all sites in the same passes, then each weight's left ones."""
        oracle, complements = request.oracle, list(request.complements.values())
        found = principal_directions(oracle, complements, request.rank, self.oversample, self.sweeps)
        return {c.name: _image_pairs(oracle.weight(c.name), found[c.name], c) for c in complements}


def _image_pairs(
    W: NDArray[np.float64], V: NDArray[np.float64], complement: SiteComplements
) -> SingularPairs:
    """The singular pairs of `(I - P_U) W V V'`: V is rotated so that the images of its columns are orthogonal."""
    # V already lies in the complement on the right: only the left side loses components here.
    return leading_singular_pairs(W @ V, V, complement, V.shape[1])


@hookimpl
def register_bases(register: Callable[[str, type[Any]], None]) -> None:
    """Register `activation`."""
    register("activation", Activation)
