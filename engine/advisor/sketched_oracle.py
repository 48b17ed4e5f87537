"""A gradient oracle from sketches, which serves repeated queries of data-driven bases without further passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs
import numpy as np
from numpy.typing import NDArray

from ..contracts import Factors, GradientOracle, Products, Site
from ..foundation.rng import Streams
from .sketches import DIRECTIONS, OVERSAMPLING, SHORT, Sketch

Matrix = NDArray[np.float64]
NOTHING: Factors = {}
Probed = Mapping[str, tuple[Matrix, Matrix]]


@attrs.define(eq=False)
class SketchedOracle:
    """A gradient oracle with sketched gradient and activations, and exact weights and probes.

    A sketch has the leading `DIRECTIONS` directions, or all if a side is short; bases hardly use more. Activations are sketched
    on first use, in two passes; every probe is trained once.
    """

    source: GradientOracle
    sites: tuple[Site, ...]
    gradient: Callable[[], Mapping[str, Sketch]]
    streams: Streams
    number: int
    _moments: dict[str, tuple[Matrix | None, Matrix]] = attrs.field(factory=dict)
    _probes: dict[tuple[int, int, float], Probed] = attrs.field(factory=dict)

    def gradient_products(
        self, *, right: Factors = NOTHING, left: Factors = NOTHING
    ) -> Mapping[str, Products]:
        """`QQ'G O`, and the same on the left."""
        sketches = self.gradient()
        return {
            name: Products(
                right=sketches[name].times(right[name]) if name in right else None,
                left=sketches[name].transposed_times(left[name]) if name in left else None,
            )
            for name in dict.fromkeys([*right, *left])
        }

    def activation_products(self, right: Factors) -> Factors:
        """`QQ'M O` of the second moments `M = X'X / n`, Q spanning their leading directions."""
        if not self._moments:
            self._moments = self._sketched()
        found = dict[str, Matrix]()
        for name, O in right.items():  # noqa: E741 - as in the contract
            Q, MQ = self._moments[name]
            found[name] = MQ @ O if Q is None else Q @ (MQ.T @ O)
        return found

    def weight(self, site: str) -> Matrix:
        """The model's weight."""
        return self.source.weight(site)

    def probe(self, rank: int, steps: int, lr: float) -> Probed:
        """Trained once and cached, since the model does not change."""
        key = (rank, steps, lr)
        if key not in self._probes:
            self._probes[key] = self.source.probe(rank, steps, lr)
        return self._probes[key]

    def _sketched(self) -> dict[str, tuple[Matrix | None, Matrix]]:
        """By site `(None, M)` for short inputs, else `(Q, M Q)`."""
        factors = dict[str, Matrix]()
        for site in self.sites:
            d_in = site.shape[1]
            rng = self.streams("sketch-activations", self.number, site.name)
            factors[site.name] = (
                np.eye(d_in) if d_in <= SHORT else rng.standard_normal((d_in, DIRECTIONS + OVERSAMPLING))
            )
        products = self.source.activation_products(factors)
        wide = {s.name: np.linalg.qr(products[s.name])[0] for s in self.sites if s.shape[1] > SHORT}
        second_pass = self.source.activation_products(wide) if wide else {}
        return {s.name: (wide.get(s.name), second_pass.get(s.name, products[s.name])) for s in self.sites}
