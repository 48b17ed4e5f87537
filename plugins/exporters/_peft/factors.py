"""Many rounds as one pair of factors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ....engine.contracts import SiteUpdates

Array = NDArray[np.float64]

EPS = float(np.finfo(np.float64).eps)


def stacked(updates: SiteUpdates) -> tuple[Array, Array]:
    """`B = [s_1 L_1 … s_T L_T] (d_out, k)` and `A = [M_1 … M_T]^T (k, d_in)`, so that `B A = sum_t s_t dW_t`.

    `k` is the sum of the rounds' ranks. Each pair of a column and a row is balanced.
    """
    pairs = [(scale * left, right) for update, scale in updates for left, right in (update.factors(),)]
    left, right = (np.hstack(side) for side in zip(*pairs, strict=True))
    return balanced(left, right.T)


def balanced(B: Array, A: Array) -> tuple[Array, Array]:
    """Powers of two moved between column j of `B (d_out, k)` and row j of `A (k, d_in)`: their largest entries are within a factor of two.

    The product stays the same, bit for bit, and so does the rounding to any floating-point type as long as nothing underflows:
    moving the powers keeps float16, whose smallest normal number is 6e-5, from losing the smaller factor. (Singular values and
    trained numbers all stand in `B`, while `A` is orthonormal.)
    """
    left, right = np.abs(B).max(axis=0, initial=0.0), np.abs(A).max(axis=1, initial=0.0)
    both = (left > 0) & (right > 0)
    ratio = np.divide(right, left, out=np.ones_like(left), where=both)
    power = np.round(np.log2(ratio) / 2)
    return np.ldexp(B, power.astype(np.int64)), np.ldexp(A, -power.astype(np.int64)[:, None])


def compacted(B: Array, A: Array) -> tuple[Array, Array]:
    """The same product in as few columns as its numerical rank, one at least.

    With thin QR `B = Q_B R_B` and `A^T = Q_A R_A`, the SVD of the small core `R_B R_A^T = U diag(s) V^T` is that of the product;
    `B' = Q_B U sqrt(s)` and `A' = sqrt(s) V^T Q_A^T`. Singular values below `max(d_out, d_in, k) eps |R_B|_F |R_A|_F` are what
    rounding leaves, and are dropped; the product changes by no more than that in any direction.
    """
    Q_B, R_B = np.linalg.qr(B)
    Q_A, R_A = np.linalg.qr(A.T)
    U, s, Vt = np.linalg.svd(R_B @ R_A.T, full_matrices=False)
    noise = max(*B.shape, *A.shape) * EPS * float(np.linalg.norm(R_B) * np.linalg.norm(R_A))
    rank = max(1, int(np.sum(s > noise)))
    root = np.sqrt(s[:rank])
    return (Q_B @ U[:, :rank]) * root, root[:, None] * (Vt[:rank] @ Q_A.T)
