"""The numbers a round trains, how they make deltas, and how gradients of deltas come back to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from ...engine.contracts import (
    DenseDelta,
    DenseUpdate,
    FactoredUpdate,
    Frame,
    FreeFactors,
    LinearCore,
    Parametrisation,
    Update,
)
from .deltas import CoreDelta, Delta, FactorDelta, FullDelta

Matrix = NDArray[np.float64]
Values = Mapping[str, Matrix]


class Trainable(Protocol):
    """One site's parametrisation, bound to its frame."""

    def initial(self) -> Values:
        """Starting values, by their names in the round's shared table."""
        ...

    def delta(self, values: Values) -> Delta:
        """The site's delta at the given values."""
        ...

    def pull_back(self, gradients: Mapping[str, Matrix]) -> Values:
        """Gradients of the named values from those of the delta's parameters."""
        ...

    def update(self, values: Values) -> Update:
        """What the round adds to the site."""
        ...


@attrs.frozen(eq=False)
class CoreTrainable:
    """`R = sum_i v_i P_i`; `dL/dv_i = <P_i, dL/dR>`."""

    spec: LinearCore
    frame: Frame

    def initial(self) -> Values:
        """The group's `v`."""
        return {self.spec.group: self.spec.init.copy()}

    def core(self, values: Values) -> Matrix:
        """`R (r, r)`."""
        v, P, r = values[self.spec.group], self.spec.projections, self.spec.rank
        return v.reshape(r, r).copy() if P is None else np.einsum("i,ijk->jk", v, P)

    def delta(self, values: Values) -> Delta:
        """`L = U diag(S^a)`, `M = V diag(S^b)`."""
        a, b = self.spec.exponents
        frame = self.frame
        return CoreDelta(frame.U * frame.S**a, self.core(values), frame.V * frame.S**b)

    def pull_back(self, gradients: Mapping[str, Matrix]) -> Values:
        """`<P_i, dL/dR>` for every i."""
        dR, P = gradients["core"], self.spec.projections
        return {self.spec.group: dR.ravel() if P is None else np.einsum("ijk,jk->i", P, dR)}

    def update(self, values: Values) -> Update:
        """The frame, with the trained core inside."""
        return FactoredUpdate(frame=self.frame, core=self.core(values), exponents=self.spec.exponents)


@attrs.frozen(eq=False)
class FactorTrainable:
    """LoRA's `A` and `B`."""

    site: str
    spec: FreeFactors
    d_out: int

    def initial(self) -> Values:
        """`A` as drawn, `B = 0`."""
        B = np.zeros((self.d_out, self.spec.rank))
        return {f"{self.site}:A": self.spec.A.copy(), f"{self.site}:B": B}

    def delta(self, values: Values) -> Delta:
        """`s B A`."""
        return FactorDelta(values[f"{self.site}:A"], values[f"{self.site}:B"], self.spec.scale)

    def pull_back(self, gradients: Mapping[str, Matrix]) -> Values:
        """The same, under the site's names."""
        return {f"{self.site}:{name}": gradient for name, gradient in gradients.items()}

    def update(self, values: Values) -> Update:
        """`U = B`, `R = s I`, `V = A^T`."""
        r = self.spec.rank
        frame = Frame(U=values[f"{self.site}:B"], S=np.ones(r), V=values[f"{self.site}:A"].T)
        return FactoredUpdate(frame=frame, core=self.spec.scale * np.eye(r), orthonormal=False)


@attrs.frozen(eq=False)
class DenseTrainable:
    """Every entry of the site."""

    site: str
    shape: tuple[int, int]

    def initial(self) -> Values:
        """Zero."""
        return {self.site: np.zeros(self.shape)}

    def delta(self, values: Values) -> Delta:
        """`dW`."""
        return FullDelta(values[self.site])

    def pull_back(self, gradients: Mapping[str, Matrix]) -> Values:
        """The same, under the site's name."""
        return {self.site: gradients["delta"]}

    def update(self, values: Values) -> Update:
        """`dW`."""
        return DenseUpdate(delta=values[self.site])


def bind(site: str, shape: tuple[int, int], spec: Parametrisation, frame: Frame | None) -> Trainable:
    """A site's parametrisation as something to train."""
    match spec:
        case LinearCore():
            if frame is None:
                raise ValueError(f"{site}: a linear core needs a frame")
            return CoreTrainable(spec, frame)
        case FreeFactors():
            return FactorTrainable(site, spec, shape[0])
        case DenseDelta():
            return DenseTrainable(site, shape)
