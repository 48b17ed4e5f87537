"""How much of a gradient's energy an adapter can capture, computed from small products.

To first order, an update `dW` changes the loss by `<G, dW>`, with the gradient `G (d_out, d_in)`. Among the updates of a
family with `||dW||_F = 1`, the steepest lowers it by the norm of G's projection onto the family; its square is the captured
energy, out of `||G||_F^2`. All quantities follow from `C = U'G V`, `U'U` and `V'V`, where `U (d_out, m)` and `V (d_in, m)`
concatenate the frames of one or more rounds.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from ..contracts import LinearCore

Matrix = NDArray[np.float64]

GRAM_CUTOFF = 1e-10
"""Eigenvalues of a Gram matrix below this share of the largest are treated as 0: their directions are linearly dependent."""

ORTHOGONAL = 1e-6
"""Largest entries of `U'U - I` for orthonormal columns of float32 backends."""


@attrs.frozen(eq=False)
class Sides:
    """The two Gram matrices of a site's columns: `K = U'U` and `L = V'V`, both `(m, m)`."""

    K: Matrix
    L: Matrix

    @classmethod
    def of(cls, U: Matrix, V: Matrix) -> Sides:
        """Gram matrices of columns `U (d_out, m)`, `V (d_in, m)`."""
        return cls(U.T @ U, V.T @ V)

    @property
    def orthonormal(self) -> bool:
        """Whether the columns are orthonormal."""
        identity = np.eye(len(self.K))
        return all(bool(np.max(np.abs(X - identity), initial=0.0) < ORTHOGONAL) for X in (self.K, self.L))

    def first(self, count: int) -> Sides:
        """Gram matrices of the first columns."""
        return Sides(self.K[:count, :count], self.L[:count, :count])


def span_energy(C: Matrix, sides: Sides) -> float:
    """Energy captured by one full core on all columns: `||Q_U' G Q_V||_F^2` with orthonormal bases of their spans.

    For orthonormal columns this is `||C||_F^2`.
    """
    if sides.orthonormal:
        return float(np.sum(C**2))
    left, right = (_whitening(X) for X in (sides.K, sides.L))
    return float(np.sum((left.T @ C @ right) ** 2))


def core_atoms(p: LinearCore, S: Matrix) -> Matrix:
    """The basis cores `diag(S^a) P_i diag(S^b)` `(u, r, r)` of a parametrisation, with the frame's singular values `(r,)`."""
    a, b = p.exponents
    P = np.eye(p.rank**2).reshape(-1, p.rank, p.rank) if p.projections is None else p.projections
    return (S**a)[:, None] * P * (S**b)[None, :]


@attrs.frozen(eq=False)
class Moments:
    """A family's products with the gradient, `c_i = <A_i, G>`, and with one another, `gram_ij = <A_i, A_j>`."""

    c: Matrix
    gram: Matrix

    @property
    def energy(self) -> float:
        """The projection of the gradient onto the family's span: `c' gram^+ c`."""
        return _projected(self.c, self.c, self.gram)

    def shared(self, other: Moments) -> float:
        """Inner product of two gradients' projections onto the same family's span: `c_1' gram^+ c_2`."""
        return _projected(self.c, other.c, self.gram)

    def plus(self, other: Moments) -> Moments:
        """Add the moments of a tied site: member i changes both sites. One may have fewer members, from fewer rounds."""
        size = max(len(self.c), len(other.c))
        padded = [(size - len(m.c), m) for m in (self, other)]
        return Moments(
            c=np.sum([np.pad(m.c, (0, gap)) for gap, m in padded], axis=0),
            gram=np.sum([np.pad(m.gram, (0, gap)) for gap, m in padded], axis=0),
        )


def moments(C: Matrix, sides: Sides, atoms: Sequence[Matrix]) -> Moments:
    """Moments of rounds with one core each: round t has the next r_t columns and the basis cores `atoms[t] (u, r_t, r_t)`.

    The members are all `U_t A_ti V_t'`, with `gram = tr(A_ti' K_ts A_sj L_st)`: so overlapping rounds are not counted twice.
    """
    ends = np.cumsum([a.shape[1] for a in atoms])
    blocks = [slice(end - a.shape[1], end) for end, a in zip(ends, atoms, strict=True)]
    c = np.concatenate([np.einsum("iab,ab->i", a, C[b, b]) for b, a in zip(blocks, atoms, strict=True)])
    if sides.orthonormal:
        flat = [a.reshape(len(a), -1) for a in atoms]
        return Moments(c, _block_diagonal([a @ a.T for a in flat]))
    left, right = (_coordinates(X) for X in (sides.K, sides.L))
    rows = [
        np.einsum("pa,iab,qb->ipq", left[:, b], a, right[:, b], optimize=True).reshape(len(a), -1)
        for b, a in zip(blocks, atoms, strict=True)
    ]
    A = np.concatenate(rows)
    return Moments(c, A @ A.T)


def square_energy(C: Matrix, sides: Sides, rank: int) -> float:
    """Energy captured by rounds of `rank` columns together, each with a full r x r core."""
    return shared_energy(C, C, sides, [rank] * (len(C) // rank))


def shared_energy(C: Matrix, D: Matrix, sides: Sides, ranks: Sequence[int]) -> float:
    """`<P G, P H>` of two gradients, `C = U'G V` and `D = U'H V`, projected onto the span of rounds of r_t columns with full cores."""
    if sides.orthonormal:
        ends = np.cumsum(ranks)
        blocks = (slice(end - r, end) for end, r in zip(ends, ranks, strict=True))
        return sum(float(np.sum(C[b, b] * D[b, b])) for b in blocks)
    atoms = [np.eye(r**2).reshape(-1, r, r) for r in ranks]
    mine = moments(C, sides, atoms)
    return mine.energy if D is C else mine.shared(moments(D, sides, atoms))


def diagonal_energy(C: Matrix, sides: Sides, rank: int) -> float:
    """Energy captured by rounds of `rank` columns together, each with a diagonal core: `sum_i (u_i' G v_i)^2` in orthonormal columns."""
    if sides.orthonormal:
        return float(np.sum(np.diag(C) ** 2))
    atoms = np.zeros((rank, rank, rank))
    atoms[np.arange(rank), np.arange(rank), np.arange(rank)] = 1.0
    return moments(C, sides, [atoms] * (len(C) // rank)).energy


def _projected(c: Matrix, d: Matrix, gram: Matrix) -> float:
    """`c' Gram^+ d`."""
    values, vectors = np.linalg.eigh(gram)
    kept = values > GRAM_CUTOFF * max(float(values[-1]), np.finfo(np.float64).tiny)
    return float(np.sum((vectors[:, kept].T @ c) * (vectors[:, kept].T @ d) / values[kept]))


def _block_diagonal(blocks: Sequence[Matrix]) -> Matrix:
    size = sum(len(block) for block in blocks)
    whole, at = np.zeros((size, size)), 0
    for block in blocks:
        whole[at : at + len(block), at : at + len(block)] = block
        at += len(block)
    return whole


def _whitening(gram: Matrix) -> Matrix:
    """`B (m, k)` such that `U B` is an orthonormal basis of U's span."""
    values, vectors = np.linalg.eigh(gram)
    kept = values > GRAM_CUTOFF * values[-1]
    return vectors[:, kept] / np.sqrt(values[kept])


def _coordinates(gram: Matrix) -> Matrix:
    """`B (m, m)` with `B'B` the Gram matrix: columns in coordinates of their span."""
    values, vectors = np.linalg.eigh(gram)
    return np.sqrt(np.clip(values, 0.0, None))[:, None] * vectors.T
