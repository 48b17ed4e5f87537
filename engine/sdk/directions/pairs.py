"""Leading singular pairs of a matrix that is given by two thin factors."""

from __future__ import annotations

import attrs
import numpy as np

from ...contracts import Frame
from .complement import EPS, Complement, Matrix, scaled
from .unused import Unused


@attrs.frozen(kw_only=True, eq=False)
class Pairs:
    """Left and right directions that belong together: `U (d_out, r)`, `V (d_in, r)`, columns orthonormal."""

    U: Matrix
    V: Matrix

    def beside(self, other: Pairs) -> Pairs:
        """Both, one after the other."""
        return Pairs(U=np.hstack([self.U, other.U]), V=np.hstack([self.V, other.V]))

    def frame(self, scale: float) -> Frame:
        """As a frame, every singular value `scale`; the entry of largest magnitude of each left vector is positive."""
        sign = np.sign(self.U[np.argmax(np.abs(self.U), axis=0), np.arange(self.U.shape[1])])
        return Frame(U=self.U * sign, S=np.full(self.U.shape[1], scale), V=self.V * sign)


def leading_pairs(L: Matrix, M: Matrix, unused: Unused, count: int) -> Pairs:
    """The `count` leading singular pairs of `(I - P_U) L M' (I - P_V)`, for `L (d_out, k)` and `M (d_in, k)`.

    With `(I - P_U) L = Q_L R_L` and `(I - P_V) M = Q_M R_M` they are those of the small core `R_L R_M'`, turned by `Q_L` and `Q_M`;
    no matrix of the weight's size is made. Where the product has fewer than `count`, the rest of each side comes from what its own
    factor spans, and then from the site's stream.
    """
    (L, norm_left), (M, norm_right) = scaled(L), scaled(M)
    Q_left, R_left = np.linalg.qr(unused.left.project(L))
    Q_right, R_right = np.linalg.qr(unused.right.project(M))
    X, s, Yt = np.linalg.svd(R_left @ R_right.T)
    rounding = EPS * max(L.shape[0], M.shape[0]) * norm_left * norm_right
    kept = int(np.sum(s[:count] > rounding))
    return Pairs(
        U=_filled(unused.left, Q_left @ X[:, :kept], L, count, unused.rng),
        V=_filled(unused.right, Q_right @ Yt[:kept].T, M, count, unused.rng),
    )


def _filled(side: Complement, found: Matrix, factor: Matrix, count: int, rng: np.random.Generator) -> Matrix:
    """The columns found, then as many others as are missing."""
    Q = side.orthonormal(found)
    missing = count - Q.shape[1]
    return np.hstack([Q, side.without(Q).span(factor, missing, rng)]) if missing else Q
