"""What is left of a space when some directions are taken, in exact enough arithmetic to be counted."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

EPS = float(np.finfo(np.float64).eps)

ORTHONORMAL = 1e-8
"""Columns that are this close to orthonormal, `||M'M - I||_F`, serve as they are: projecting twice squares what is missing."""

SPARE = 4
"""Columns drawn beyond those wanted, so that those kept are far from dependent even where the space is nearly full."""


@attrs.frozen(eq=False)
class Complement:
    """The vectors of `R^d` that are orthogonal to the orthonormal columns of `P (d, m)`: the range of `I - P P'`."""

    P: Matrix

    @classmethod
    def of(cls, d: int, columns: Sequence[Matrix]) -> Complement:
        """The complement of all columns of matrices `(d, …)`, which may overlap; a direction below `eps max(d, m) s_1` is none."""
        M = np.hstack([np.zeros((d, 0)), *columns])
        if M.shape[1] == 0 or np.linalg.norm(M.T @ M - np.eye(M.shape[1])) <= ORTHONORMAL:
            return cls(M)
        U, s, _ = np.linalg.svd(M, full_matrices=False)
        return cls(U[:, s > EPS * max(M.shape) * s[0]])

    @property
    def dimension(self) -> int:
        """Directions left, `d - m`."""
        return self.P.shape[0] - self.P.shape[1]

    def without(self, Q: Matrix) -> Complement:
        """What is left when orthonormal columns `Q` of the complement are taken too."""
        return Complement(np.hstack([self.P, Q]))

    def project(self, X: Matrix) -> Matrix:
        """`(I - P P') X`, twice over: once leaves rounding of the size of what was removed (Parlett, 1980: twice is enough)."""
        for _ in range(2):
            X = X - self.P @ (self.P.T @ X)
        return X

    def orthonormal(self, X: Matrix) -> Matrix:
        """The nearest thing to nearly orthonormal columns `X` that is orthonormal, and orthogonal to `P`, to rounding.

        `Q` of `(I - P P') X = Q R` with `diag(R) > 0`, so that a column stays where it was; twice, since a division by a small
        `R` brings back a part of `P`.
        """
        for _ in range(2):
            Q, R = np.linalg.qr(self.project(X))
            X = Q * np.where(np.diag(R) < 0.0, -1.0, 1.0)
        return X

    def random(self, count: int, rng: np.random.Generator) -> Matrix:
        """`count` orthonormal columns `(d, count)` of the complement that span a uniformly random subspace of it."""
        if count == 0:
            return np.zeros((self.P.shape[0], 0))
        drawn = self.project(rng.standard_normal((self.P.shape[0], count + SPARE)))
        U, _, _ = np.linalg.svd(drawn, full_matrices=False)
        return self.orthonormal(U[:, :count])

    def span(self, X: Matrix, count: int, rng: np.random.Generator) -> Matrix:
        """`count` orthonormal columns of the complement: the leading left singular vectors of `(I - P P') X`, then random ones.

        Random where X has fewer than `count` directions there; what is below the rounding of `X` itself is none.
        """
        X, norm = scaled(X)
        U, s, _ = np.linalg.svd(self.project(X), full_matrices=False)
        found = self.orthonormal(U[:, :count][:, s[:count] > EPS * max(X.shape) * norm])
        missing = count - found.shape[1]
        return np.hstack([found, self.without(found).random(missing, rng)]) if missing else found


def scaled(X: Matrix) -> tuple[Matrix, float]:
    """`X / max|X|`, whose squares neither overflow nor vanish, and its Frobenius norm; a zero matrix stays zero."""
    largest = float(np.max(np.abs(X), initial=0.0))
    if largest == 0.0:
        return X, 0.0
    X = X / largest
    return X, float(np.linalg.norm(X))
