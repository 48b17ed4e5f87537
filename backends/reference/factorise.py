"""Leading singular triplets of a weight, with canonical signs."""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from ...engine.contracts import Frame
from ...engine.errors import NonFiniteError

Matrix = NDArray[np.float64]

SMALL = 256
"""Width below which a full SVD is as fast as any partial one."""
PARTIAL_SHARE = 0.25
"""The partial method is used for at most this share of the directions."""
TIE = 1e-6
"""Entries within this relative distance of the largest magnitude count as tied; the first of them sets the sign.
Backends differ by far less, so they agree on the sign even if two entries tie."""


def leading_triplets(W: Matrix, count: int) -> Frame:
    """The `count` largest singular triplets of `W (d_out, d_in)`: `W v_i = s_i u_i`, columns orthonormal.

    Raises `NonFiniteError` for NaN or Inf, on which LAPACK may silently return NaN.
    """
    if not np.isfinite(W).all():
        raise NonFiniteError("a weight contains NaN or Inf; it has no singular directions")
    width = min(W.shape)
    if not 0 < count <= width:
        raise ValueError(f"{count} directions of a weight that has {width}")
    # Both paths give the same triplets up to rounding; the choice depends on shapes alone, so it is reproducible.
    partial = width >= SMALL and count <= PARTIAL_SHARE * width
    U, S, V = _partial(W, count) if partial else _full(W)
    return canonical(U[:, :count], S[:count], V[:, :count])


def canonical(U: Matrix, S: Matrix, V: Matrix) -> Frame:
    """Flip each pair of columns so that the largest-magnitude entry of the left one is positive."""
    magnitude = np.abs(U)
    pivot = np.argmax(magnitude >= (1.0 - TIE) * magnitude.max(axis=0), axis=0)
    # Both columns of a pair flip together, so that `u s v'` stays the same.
    sign = np.where(U[pivot, np.arange(U.shape[1])] < 0.0, -1.0, 1.0)
    return Frame(U=U * sign, S=S.copy(), V=V * sign)


def _full(W: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    try:
        U, S, Vt = scipy.linalg.svd(W, full_matrices=False, lapack_driver="gesdd")
    except np.linalg.LinAlgError:  # divide and conquer did not converge; QR iteration (gesvd) does
        U, S, Vt = scipy.linalg.svd(W, full_matrices=False, lapack_driver="gesvd")
    return U, S, Vt.T


def _partial(W: Matrix, count: int) -> tuple[Matrix, Matrix, Matrix]:
    """Eigenvectors of the smaller Gram matrix, then one Rayleigh-Ritz step.

    With `X` the leading eigenvectors of `W^T W` (or of `W W^T`, whichever is smaller), `W X = Q T` (QR) and
    `T = A diag(S) C^T` (SVD) give `U = Q A` and `V = X C`: orthonormal columns up to rounding, and `W V = U diag(S)`. The squared
    condition number shows only in the other equation: `|W^T u_i - s_i v_i|` is of order `eps s_1^2 / s_i`.
    """
    # The Gram matrix of the shorter side; transposing exchanges U and V.
    if W.shape[0] < W.shape[1]:
        V, S, U = _partial(W.T, count)
        return U, S, V
    n = W.shape[1]
    # `eigh` gives ascending eigenvalues; the SVD of T puts the triplets in descending order.
    _, X = scipy.linalg.eigh(W.T @ W, subset_by_index=(n - count, n - 1), driver="evr")
    Q, T = np.linalg.qr(W @ X)
    A, S, Ct = np.linalg.svd(T)
    return Q @ A, S, X @ Ct.T
