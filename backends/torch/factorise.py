"""Leading singular triplets of a weight, computed on the device in float64, with canonical signs."""

from __future__ import annotations

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from ...engine.contracts import Frame
from ...engine.errors import NonFiniteError

FULL_BELOW = 256
"""Width below which a full SVD is as fast as any partial one."""
FULL_ABOVE = 0.25
"""Share of the directions above which a full SVD is used."""
TIE_TOLERANCE = 1e-6
"""Entries within this relative distance of a column's largest magnitude count as tied; the first of them sets the sign."""


def leading_triplets(weight: Tensor, count: int) -> Frame:
    """The `count` largest singular triplets of `weight (d_out, d_in)`, as float64 arrays.

    Raises `NonFiniteError` for NaN or Inf, on which LAPACK may crash or silently return NaN.
    """
    if not bool(torch.isfinite(weight).all()):
        raise NonFiniteError("a weight contains NaN or Inf; it has no singular directions")
    width = min(weight.shape)
    if not 0 < count <= width:
        raise ValueError(f"{count} directions of a weight that has {width}")
    if weight.device.type == "mps":  # MPS has no float64
        weight = weight.cpu()
    # The Gram matrix squares the condition number: in float32, small directions would be lost to rounding.
    W = weight.to(torch.float64)
    whole = width < FULL_BELOW or count > FULL_ABOVE * width
    U, S, V = _full(W) if whole else _gram(W, count)
    return _canonical_signs(U[:, :count], S[:count], V[:, :count])


def _canonical_signs(U: Tensor, S: Tensor, V: Tensor) -> Frame:
    """Flip each pair of columns so that the largest-magnitude entry of the left one is positive."""
    size = U.abs()
    decides = (size >= (1.0 - TIE_TOLERANCE) * size.amax(dim=0)).to(torch.uint8).argmax(dim=0)
    flip = torch.where(U.gather(0, decides[None])[0] < 0.0, -1.0, 1.0).to(U.dtype)
    return Frame(U=_array(U * flip), S=_array(S), V=_array(V * flip))


def _array(x: Tensor) -> np.ndarray:
    return np.ascontiguousarray(x.cpu().numpy())


def _full(W: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    try:
        U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    except RuntimeError:  # divide and conquer (gesdd) did not converge; QR iteration (gesvd) does
        found = scipy.linalg.svd(W.cpu().numpy(), full_matrices=False, lapack_driver="gesvd")
        U, S, Vh = (torch.from_numpy(x) for x in found)
    return U, S, Vh.mT


def _gram(W: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rayleigh-Ritz on the leading eigenvectors X of the smaller Gram matrix.

    With `W X = Q T` (QR) and `T = A diag(S) C^T` (SVD), `W (X C) = (Q A) diag(S)`. The columns are orthonormal up to rounding
    even though the Gram matrix squares the condition number (Golub and Van Loan, Matrix Computations, ch. 8).
    """
    # The Gram matrix of the shorter side; transposing exchanges U and V.
    if W.shape[0] < W.shape[1]:
        V, S, U = _gram(W.mT, count)
        return U, S, V
    # In any order: the SVD of T sorts the triplets.
    X = _top_eigenvectors(W.mT @ W, count)
    Q, T = torch.linalg.qr(W @ X)
    A, S, Ch = torch.linalg.svd(T)
    return Q @ A, S, X @ Ch.mT


def _top_eigenvectors(gram: Tensor, count: int) -> Tensor:
    """Eigenvectors `(n, count)` of the largest eigenvalues, in any order. LAPACK can compute part of the spectrum; torch on CUDA cannot."""
    if gram.device.type != "cpu":
        # Eigenvalues ascend, so the largest come last.
        return torch.linalg.eigh(gram).eigenvectors[:, -count:]
    n = gram.shape[0]
    _, X = scipy.linalg.eigh(gram.numpy(), subset_by_index=(n - count, n - 1), driver="evr")
    return torch.from_numpy(X)
