"""Low-rank factors of a sum of rounds: stacking, balancing, rank truncation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ....engine.contracts import SiteUpdates

Array = NDArray[np.float64]

EPS = float(np.finfo(np.float64).eps)


def stacked(updates: SiteUpdates) -> tuple[Array, Array]:
    """`B = [s_1 L_1 … s_T L_T] (d_out, k)` and `A = [M_1 … M_T]^T (k, d_in)`, so that `B A = sum_t s_t dW_t`.

    `k` is the sum of the rounds' ranks. Columns of B and rows of A are balanced; see `balanced`.
    """
    pairs = [(scale * left, right) for update, scale in updates for left, right in (update.factors(),)]
    left, right = (np.hstack(side) for side in zip(*pairs, strict=True))
    return balanced(left, right.T)


def balanced(B: Array, A: Array) -> tuple[Array, Array]:
    """Scale column j of `B (d_out, k)` and row j of `A (k, d_in)` by inverse powers of two so that their largest entries agree within a factor of two.

    The product is bit-identical, and so is its rounding to any floating-point type without underflow. Without balancing, float16,
    whose smallest normal number is 6e-5, would lose entries of the smaller factor: `B` contains singular values and trained
    parameters, while `A` is orthonormal.
    """
    left, right = np.abs(B).max(axis=0, initial=0.0), np.abs(A).max(axis=1, initial=0.0)
    both = (left > 0) & (right > 0)
    ratio = np.divide(right, left, out=np.ones_like(left), where=both)
    power = np.round(np.log2(ratio) / 2)
    return np.ldexp(B, power.astype(np.int64)), np.ldexp(A, -power.astype(np.int64)[:, None])


def truncated(B: Array, A: Array) -> tuple[Array, Array]:
    """The same product with `k` reduced to its numerical rank, at least 1.

    With thin QR `B = Q_B R_B` and `A^T = Q_A R_A`, the SVD of the small core `R_B R_A^T = U diag(s) V^T` is that of the product;
    `B' = Q_B U sqrt(s)` and `A' = sqrt(s) V^T Q_A^T`. Singular values below `max(d_out, d_in, k) eps |R_B|_F |R_A|_F` are rounding
    errors and are dropped, which bounds the change of the product in spectral norm.
    """
    Q_B, R_B = np.linalg.qr(B)
    Q_A, R_A = np.linalg.qr(A.T)
    U, s, Vt = np.linalg.svd(R_B @ R_A.T, full_matrices=False)
    noise = max(*B.shape, *A.shape) * EPS * float(np.linalg.norm(R_B) * np.linalg.norm(R_A))
    rank = max(1, int(np.sum(s > noise)))
    root = np.sqrt(s[:rank])
    return (Q_B @ U[:, :rank]) * root, root[:, None] * (Vt[:rank] @ Q_A.T)
