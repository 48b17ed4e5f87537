"""A round's trained parameters: their deltas, and the pullback of gradients from deltas to parameters.

Frames and projections are float64; they are cast to the dtype of the values, and updates are cast back to float64.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import attrs
import numpy as np

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
from .arrays import Matrix
from .deltas import CoreDelta, Delta, FactorDelta, FullDelta

Values = Mapping[str, Matrix]


class Trainable(Protocol):
    """One site's parametrisation with its frame."""

    def initial(self) -> Values:
        """Initial values, by parameter name."""
        ...

    def delta(self, values: Values) -> Delta:
        """The site's delta at the given values."""
        ...

    def pull_back(self, gradients: Mapping[str, Matrix]) -> Values:
        """Vector-Jacobian product: gradients of the values from gradients of the delta's parameters."""
        ...

    def update(self, values: Values) -> Update:
        """The round's update of the site."""
        ...


@attrs.frozen(eq=False)
class CoreTrainable:
    """TinyLoRA's core `R = sum_i v_i P_i`; `dL/dv_i = <P_i, dL/dR>`."""

    spec: LinearCore
    frame: Frame

    def initial(self) -> Values:
        """The group's `v`."""
        return {self.spec.group: self.spec.init.copy()}

    def core(self, values: Values) -> Matrix:
        """`R (r, r)`."""
        v, P, r = values[self.spec.group], self.spec.projections, self.spec.rank
        return (
            # Without projections, `v` is R itself, row by row: the `P_i` are the unit matrices.
            v.reshape(r, r).copy() if P is None else np.einsum("i,ijk->jk", v, P.astype(v.dtype, copy=False))
        )

    def delta(self, values: Values) -> Delta:
        """`L = U diag(S^a)`, `M = V diag(S^b)`."""
        a, b = self.spec.exponents
        R = self.core(values)
        U, S, V = (X.astype(R.dtype, copy=False) for X in (self.frame.U, self.frame.S, self.frame.V))
        return CoreDelta(U * S**a, R, V * S**b)

    def pull_back(self, gradients: Mapping[str, Matrix]) -> Values:
        """`<P_i, dL/dR>` for every i."""
        dR, P = gradients["core"], self.spec.projections
        v = dR.ravel() if P is None else np.einsum("ijk,jk->i", P.astype(dR.dtype, copy=False), dR)
        return {self.spec.group: v}

    def update(self, values: Values) -> Update:
        """`dW = U diag(S^a) R diag(S^b) V^T` as a factored update."""
        core = self.core(values).astype(np.float64)
        return FactoredUpdate(frame=self.frame, core=core, exponents=self.spec.exponents)


@attrs.frozen(eq=False)
class FactorTrainable:
    """LoRA's `A` and `B`."""

    site: str
    spec: FreeFactors
    d_out: int

    def initial(self) -> Values:
        """`A` from the spec, `B = 0`."""
        # `B = 0`: the round starts at the merged model, and `A` gets its first gradient once B has moved.
        B = np.zeros((self.d_out, self.spec.rank))
        return {f"{self.site}:A": self.spec.A.copy(), f"{self.site}:B": B}

    def delta(self, values: Values) -> Delta:
        """`s B A`."""
        return FactorDelta(values[f"{self.site}:A"], values[f"{self.site}:B"], self.spec.scale)

    def pull_back(self, gradients: Mapping[str, Matrix]) -> Values:
        """The same gradients, under the site's parameter names."""
        return {f"{self.site}:{name}": gradient for name, gradient in gradients.items()}

    def update(self, values: Values) -> Update:
        """`U = B`, `R = s I`, `V = A^T`."""
        r = self.spec.rank
        A, B = (values[f"{self.site}:{name}"].astype(np.float64) for name in "AB")
        frame = Frame(U=B, S=np.ones(r), V=A.T)
        # Free factors are not orthonormal, so ranks and overlaps must be computed from a QR.
        return FactoredUpdate(frame=frame, core=self.spec.scale * np.eye(r), orthonormal=False)


@attrs.frozen(eq=False)
class DenseTrainable:
    """A dense `dW (d_out, d_in)`."""

    site: str
    shape: tuple[int, int]

    def initial(self) -> Values:
        """Zero."""
        return {self.site: np.zeros(self.shape)}

    def delta(self, values: Values) -> Delta:
        """`dW`."""
        return FullDelta(values[self.site])

    def pull_back(self, gradients: Mapping[str, Matrix]) -> Values:
        """The same gradient, under the site's name."""
        return {self.site: gradients["delta"]}

    def update(self, values: Values) -> Update:
        """`dW`."""
        return DenseUpdate(delta=values[self.site].astype(np.float64))


def bind(site: str, shape: tuple[int, int], spec: Parametrisation, frame: Frame | None) -> Trainable:
    """The trainable of a site's parametrisation. Raises `ValueError` for a core without a frame."""
    match spec:
        case LinearCore():
            if frame is None:
                raise ValueError(f"{site}: a linear core needs a frame")
            return CoreTrainable(spec, frame)
        case FreeFactors():
            return FactorTrainable(site, spec, shape[0])
        case DenseDelta():
            return DenseTrainable(site, shape)
