"""Principal directions of a layer's inputs, by subspace iteration on their second moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...contracts import GradientOracle
from .complement import Matrix
from .finite import require_finite
from .site_complements import SiteComplements


def principal_directions(
    oracle: GradientOracle, complements: Sequence[SiteComplements], count: int, oversample: int, passes: int
) -> Mapping[str, Matrix]:
    """`V (d_in, count)` by site: leading eigenvectors of `C = (I - P_V) X'X/n (I - P_V)`, largest eigenvalue first.

    All passes but the last are subspace iteration from `count + oversample` random columns, `Q <- orth(C Q)`; the last is Rayleigh-Ritz:
    `Q Z` for the leading eigenvectors `Z` of `Q' C Q` (algorithms 4.4 and 5.3 of Halko, Martinsson and Tropp, Finding Structure with
    Randomness, SIAM Review 53, 2011). Exact if the complement's dimension, or the rank of the inputs in it, is at most the number of
    columns. Raises `NonFiniteError`.
    """
    Q = {
        complement.name: complement.right.random(
            min(count + oversample, complement.right.dimension), complement.rng
        )
        for complement in complements
    }
    for _ in range(passes - 1):
        products = oracle.activation_products(Q)
        Q = {
            complement.name: complement.right.span(
                require_finite(products[complement.name], complement.name, "inputs"),
                Q[complement.name].shape[1],
                complement.rng,
            )
            for complement in complements
        }
    products = oracle.activation_products(Q)
    return {
        complement.name: _ritz_vectors(
            Q[complement.name], require_finite(products[complement.name], complement.name, "inputs"), count
        )
        for complement in complements
    }


def _ritz_vectors(Q: Matrix, CQ: Matrix, count: int) -> Matrix:
    """The `count` leading Ritz vectors of C in the span of Q."""
    # Q' C Q is symmetric only up to rounding.
    T = Q.T @ CQ
    _, vectors = np.linalg.eigh((T + T.T) / 2)
    # `eigh` sorts eigenvalues in ascending order; the leading ones come last.
    return Q @ vectors[:, ::-1][:, :count]
