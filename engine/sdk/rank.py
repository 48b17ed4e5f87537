"""Rank of an ensemble from its stacked factors: thin QR, then the SVD of a small core; the dense sum is never formed."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from ..contracts import FactoredUpdate, Update

Matrix = NDArray[np.float64]


@attrs.frozen(kw_only=True)
class RankReport:
    """Rank of the sum of a site's updates."""

    rank: int
    """Numerical rank: singular values above `eps * max(d_out, d_in) * sigma_1`."""
    effective: float
    """Entropy effective rank `exp(-sum p_i log p_i)`, `p = sigma / sum sigma` (Roy and Vetterli, 2007); 0 for a zero update."""
    width: int
    """`min(d_out, d_in)`, the largest possible rank."""


def singular_values(updates: Sequence[tuple[Update, float]]) -> Matrix:
    """Singular values of `sum_t s_t L_t M_t^T`, descending.

    With `L = [s_1 L_1 … s_T L_T] = Q_L R_L` and `M = [M_1 … M_T] = Q_M R_M`, the sum is `Q_L (R_L R_M^T) Q_M^T`, so its singular
    values are those of the core `R_L R_M^T` `(k, k)`, `k = T r`.
    """
    pairs = [(scale, *update.factors()) for update, scale in updates if scale != 0.0]
    if not pairs:
        return np.zeros(0)
    # The scale of a round goes to one side only, since the product contains it once.
    left = np.hstack([scale * L for scale, L, _ in pairs])
    right = np.hstack([M for _, _, M in pairs])
    # R is `(min(d, k), k)`: for k > d the core is no larger than the weight itself.
    _, R_left = np.linalg.qr(left)
    _, R_right = np.linalg.qr(right)
    return np.linalg.svd(R_left @ R_right.T, compute_uv=False).astype(np.float64)


def rank_of(updates: Sequence[tuple[Update, float]], shape: tuple[int, int]) -> RankReport:
    """Numerical and effective rank of a site's accumulated update."""
    sigma = singular_values(updates)
    width = min(shape)
    if sigma.size == 0 or sigma[0] == 0.0:
        return RankReport(rank=0, effective=0.0, width=width)
    # Relative to the sum's largest value: a round far smaller than the others may fall below the rounding errors of these.
    rank = int(np.sum(sigma > _threshold(sigma, shape)))
    # 0 log 0 = 0: zero singular values do not count.
    p = sigma[sigma > 0] / sigma.sum()
    effective = float(np.exp(-np.sum(p * np.log(p))))
    return RankReport(rank=min(rank, width), effective=effective, width=width)


def overlap(new: Update, earlier: Sequence[Update]) -> float | None:
    """Cosine of the smallest principal angle between a round's directions and any earlier round's, left or right.

    `max_t max(||U_t^T U||_2, ||V_t^T V||_2)`, in [0, 1]: 0 if the subspaces are orthogonal, 1 if they share a
    direction: singular values of `X^T Y` are the cosines of the principal angles (Björck and Golub, 1973). None if undefined: no earlier
    round changed the site, or the update is zero, or dense and so spans everything.
    """
    bases = _directions(new)
    if bases is None:
        return None
    others = filter(None, map(_directions, earlier))
    cosines = [
        float(np.linalg.norm(mine.T @ theirs, 2))
        for other in others
        for mine, theirs in zip(bases, other, strict=True)
    ]
    # Rounding may put the cosine of equal directions above 1.
    return min(1.0, max(cosines)) if cosines else None


def _directions(update: Update) -> tuple[Matrix, Matrix] | None:
    """Orthonormal columns that span an update's left and right directions; None for a zero or dense update.

    An update in a frame has the frame's columns, whatever its core. Free factors may have dependent or zero columns: with `dW = L M^T`,
    `L = Q_L R_L` and `M = Q_M R_M`, the directions are the singular vectors of `dW` with nonzero singular values, which are `Q_L` and
    `Q_M` times those of `R_L R_M^T`.
    """
    if not isinstance(update, FactoredUpdate) or not np.any(update.core):
        return None
    if update.orthonormal:
        return update.frame.U, update.frame.V
    L, M = update.factors()
    (Q_L, R_L), (Q_M, R_M) = np.linalg.qr(L), np.linalg.qr(M)
    left, sigma, right = np.linalg.svd(R_L @ R_M.T)
    rank = int(np.sum(sigma > _threshold(sigma, (len(L), len(M))))) if sigma[0] > 0 else 0
    return (Q_L @ left[:, :rank], Q_M @ right[:rank].T) if rank else None


def _threshold(sigma: Matrix, shape: tuple[int, int]) -> float:
    """Singular values at most `eps max(d_out, d_in) sigma_1` count as zero, as in `numpy.linalg.matrix_rank`."""
    return float(np.finfo(np.float64).eps * max(shape) * sigma[0])
