"""The directions of steepest descent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from ...engine.hookspecs import hookimpl
from ...engine.sdk.directions import DataDrivenBasis, PairsRequest, SingularPairs, gradient_singular_pairs


@attrs.frozen(kw_only=True)
class Gradient(DataDrivenBasis):
    """The r leading singular pairs of the mean gradient of the round's loss, earlier rounds' directions projected out.

    With `G = dL/dW` and projectors `P_U`, `P_V` onto earlier rounds' directions, the pairs are those of `(I - P_U) G (I - P_V)`. To first
    order, no update of rank r orthogonal to earlier rounds lowers the loss more for its Frobenius norm than the best one in this frame
    (Eckart and Young, 1936).
    Two passes over the calibration examples; no dense gradient is formed.
    """

    def pairs(self, request: PairsRequest) -> Mapping[str, SingularPairs]:
        """By the randomised range finder, all sites in the same two passes."""
        complements = list(request.complements.values())
        return gradient_singular_pairs(request.oracle, complements, request.rank, self.oversample)


@hookimpl
def register_bases(register: Callable[[str, type[Any]], None]) -> None:
    """Register `gradient`."""
    register("gradient", Gradient)
