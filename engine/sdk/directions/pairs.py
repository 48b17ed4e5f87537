"""Leading singular pairs of a matrix given by two thin factors."""

from __future__ import annotations

import attrs
import numpy as np

from ...contracts import Frame
from .complement import EPS, Matrix, OrthogonalComplement, scaled
from .site_complements import SiteComplements


@attrs.frozen(kw_only=True, eq=False)
class SingularPairs:
    """Left and right singular vectors: `U (d_out, r)`, `V (d_in, r)`, columns orthonormal."""

    U: Matrix
    V: Matrix

    def concatenate(self, other: SingularPairs) -> SingularPairs:
        """The pairs of both, this one's first."""
        return SingularPairs(U=np.hstack([self.U, other.U]), V=np.hstack([self.V, other.V]))

    def frame(self, scale: float) -> Frame:
        """A frame with every singular value set to `scale`.

        A singular pair is defined up to a common sign; here the entry of largest magnitude of each left vector is positive.
        """
        sign = np.sign(self.U[np.argmax(np.abs(self.U), axis=0), np.arange(self.U.shape[1])])
        return Frame(U=self.U * sign, S=np.full(self.U.shape[1], scale), V=self.V * sign)


def leading_singular_pairs(L: Matrix, M: Matrix, unused: SiteComplements, count: int) -> SingularPairs:
    """The `count` leading singular pairs of `(I - P_U) L M' (I - P_V)`, for `L (d_out, k)` and `M (d_in, k)`.

    With `(I - P_U) L = Q_L R_L`, `(I - P_V) M = Q_M R_M` and the SVD `R_L R_M' = X S Y'` of the `(k, k)` core, they are
    `Q_L X` and `Q_M Y`; no matrix of the weight's size is formed. If the product's numerical rank is below `count`, each side is
    completed from the span of its own factor, then at random.
    """
    (L, norm_left), (M, norm_right) = scaled(L), scaled(M)
    Q_left, R_left = np.linalg.qr(unused.left.project(L))
    Q_right, R_right = np.linalg.qr(unused.right.project(M))
    # `k` columns need not be independent: the core's singular values show the rank of the product.
    X, s, Yt = np.linalg.svd(R_left @ R_right.T)
    # The core's rounding errors are relative to the factors before projection: what is below them is noise.
    rounding = EPS * max(L.shape[0], M.shape[0]) * norm_left * norm_right
    kept = int(np.sum(s[:count] > rounding))
    return SingularPairs(
        U=_complete_columns(unused.left, Q_left @ X[:, :kept], L, count, unused.rng),
        V=_complete_columns(unused.right, Q_right @ Yt[:kept].T, M, count, unused.rng),
    )


def _complete_columns(
    side: OrthogonalComplement, found: Matrix, factor: Matrix, count: int, rng: np.random.Generator
) -> Matrix:
    """`found`, completed to `count` columns from the span of `factor`, then at random."""
    Q = side.orthonormal(found)
    missing = count - Q.shape[1]
    return np.hstack([Q, side.without(Q).span(factor, missing, rng)]) if missing else Q
