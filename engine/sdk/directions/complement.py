"""Orthogonal complements whose dimension can be counted: bases stay orthonormal to rounding."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

EPS = float(np.finfo(np.float64).eps)

ORTHONORMALITY_TOLERANCE = 1e-8
"""Columns with `||M'M - I||_F` below this are used as they are: projecting twice squares the defect."""

OVERSAMPLING = 4
"""Gaussian columns drawn beyond those wanted, which keeps the draw well conditioned even if the complement is small."""


@attrs.frozen(eq=False)
class OrthogonalComplement:
    """The vectors of `R^d` that are orthogonal to the orthonormal columns of `P (d, m)`: the range of `I - P P'`."""

    P: Matrix

    @classmethod
    def of(cls, d: int, columns: Sequence[Matrix]) -> OrthogonalComplement:
        """The complement of the columns of matrices `(d, …)`, which may overlap.

        Singular values at most `eps max(d, m) s_1` count as zero.
        """
        M = np.hstack([np.zeros((d, 0)), *columns])
        # Rounds that are orthogonal to all earlier ones have orthonormal columns together: no SVD is needed.
        if M.shape[1] == 0 or np.linalg.norm(M.T @ M - np.eye(M.shape[1])) <= ORTHONORMALITY_TOLERANCE:
            return cls(M)
        U, s, _ = np.linalg.svd(M, full_matrices=False)
        # Overlapping rounds have dependent columns: counted twice, they would make the complement too small.
        return cls(U[:, s > EPS * max(M.shape) * s[0]])

    @property
    def dimension(self) -> int:
        """Dimension of the complement, `d - m`."""
        return self.P.shape[0] - self.P.shape[1]

    def without(self, Q: Matrix) -> OrthogonalComplement:
        """The complement of `[P Q]`, for orthonormal columns `Q` of this complement."""
        return OrthogonalComplement(np.hstack([self.P, Q]))

    def project(self, X: Matrix) -> Matrix:
        """`(I - P P') X`, applied twice.

        One projection leaves rounding errors of the size of the removed part; "twice is enough" (Parlett, The Symmetric Eigenvalue
        Problem, 1980).
        """
        for _ in range(2):
            X = X - self.P @ (self.P.T @ X)
        return X

    def orthonormal(self, X: Matrix) -> Matrix:
        """Orthonormalise nearly orthonormal columns `X (d, k)`, and make them orthogonal to `P`, both to rounding.

        `(I - P P') X = Q R` with `diag(R) > 0`, so that no column changes its sign. Repeated once: dividing by a small entry of `R`
        amplifies the remaining component along `P`.
        """
        for _ in range(2):
            Q, R = np.linalg.qr(self.project(X))
            X = Q * np.where(np.diag(R) < 0.0, -1.0, 1.0)
        return X

    def random(self, count: int, rng: np.random.Generator) -> Matrix:
        """Orthonormal columns `(d, count)` that span a uniformly random (Haar) subspace of the complement."""
        if count == 0:
            return np.zeros((self.P.shape[0], 0))
        # The projection of a Gaussian matrix is Gaussian in the complement, so its leading left singular vectors are uniform there.
        drawn = self.project(rng.standard_normal((self.P.shape[0], count + OVERSAMPLING)))
        U, _, _ = np.linalg.svd(drawn, full_matrices=False)
        return self.orthonormal(U[:, :count])

    def span(self, X: Matrix, count: int, rng: np.random.Generator) -> Matrix:
        """The `count` leading left singular vectors of `(I - P P') X` `(d, count)`, completed with random columns of the complement.

        The numerical rank is measured against `||X||_F` before the projection: the projection's rounding errors are of that size.
        """
        X, norm = scaled(X)
        U, s, _ = np.linalg.svd(self.project(X), full_matrices=False)
        # Columns below the threshold are rounding noise, not directions of the data: random ones replace them.
        found = self.orthonormal(U[:, :count][:, s[:count] > EPS * max(X.shape) * norm])
        missing = count - found.shape[1]
        return np.hstack([found, self.without(found).random(missing, rng)]) if missing else found


def scaled(X: Matrix) -> tuple[Matrix, float]:
    """`X / max|X|`, whose squares neither overflow nor underflow, and its Frobenius norm; a zero matrix is returned as it is."""
    largest = float(np.max(np.abs(X), initial=0.0))
    if largest == 0.0:
        return X, 0.0
    X = X / largest
    return X, float(np.linalg.norm(X))
