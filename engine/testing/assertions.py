"""Comparisons that raise, of quantities that are well defined: subspaces, not their bases."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

EPS = float(np.finfo(np.float64).eps)


def assert_close(
    actual: ArrayLike, expected: ArrayLike, *, atol: float, what: str, rtol: float = 0.0
) -> None:
    """Assert `max |actual - expected| <= atol + rtol max |expected|`, equal shapes and no NaN.

    The tolerance is relative to the largest entry, since rounding errors of matrix products are, not to each entry.
    """
    a, e = np.asarray(actual), np.asarray(expected)
    assert a.shape == e.shape, f"{what}: shape {a.shape}, expected {e.shape}"
    if a.size == 0:
        return
    # A NaN makes `error` NaN, and the comparison below fails.
    error = float(np.max(np.abs(a.astype(np.float64) - e.astype(np.float64))))
    allowed = atol + rtol * float(np.max(np.abs(e.astype(np.float64))))
    assert error <= allowed, f"{what}: off by {error:.3e}, allowed {allowed:.3e}"


def assert_orthonormal(X: np.ndarray[Any, Any], *, what: str) -> None:
    """Assert `max |X'X - I| <= 4 eps max(m, n)`: the rounding error of a Householder QR or LAPACK's SVD, with a small factor."""
    bound = 4 * EPS * max(X.shape)
    assert_close(X.T @ X, np.eye(X.shape[1]), atol=bound, what=f"{what} orthonormal")


def assert_same_subspace(
    actual: np.ndarray[Any, Any], expected: np.ndarray[Any, Any], *, atol: float, what: str
) -> None:
    """Assert that orthonormal columns span the same space: `||XX' - YY'||_2 <= atol`.

    For spaces of equal dimension, this norm is the sine of the largest principal angle (Golub and Van Loan, section 2.5.3).
    """
    difference = actual @ actual.T - expected @ expected.T
    sine = float(np.linalg.norm(difference, 2))
    assert sine <= atol, f"{what}: largest principal angle has sine {sine:.3e}, allowed {atol:.3e}"
