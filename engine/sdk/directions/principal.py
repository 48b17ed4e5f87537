"""The directions along which a layer's inputs vary most, from products with their second moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...contracts import GradientOracle
from .complement import Matrix
from .finite import finite
from .unused import Unused


def principal_directions(
    oracle: GradientOracle, places: Sequence[Unused], count: int, oversample: int, passes: int
) -> Mapping[str, Matrix]:
    """`V (d_in, count)` by site: leading eigenvectors of `C = (I - P_V) X'X/n (I - P_V)`, of largest first, in so many passes.

    All passes but the last are subspace iteration from `count + oversample` random columns, `Q <- range(C Q)`; the last is Rayleigh-Ritz:
    eigenvectors of `Q' C Q`, turned by Q (algorithms 4.4 and 5.3 of Halko, Martinsson and Tropp, 2011). Exact where the complement has
    no more directions than columns, or inputs span no more. Raises `NonFiniteError`.
    """
    Q = {
        place.name: place.right.random(min(count + oversample, place.right.dimension), place.rng)
        for place in places
    }
    for _ in range(passes - 1):
        products = oracle.activation_products(Q)
        Q = {
            place.name: place.right.span(
                finite(products[place.name], place.name, "inputs"), Q[place.name].shape[1], place.rng
            )
            for place in places
        }
    products = oracle.activation_products(Q)
    return {
        place.name: _ritz(Q[place.name], finite(products[place.name], place.name, "inputs"), count)
        for place in places
    }


def _ritz(Q: Matrix, CQ: Matrix, count: int) -> Matrix:
    """The `count` leading Ritz vectors of C in the span of Q."""
    T = Q.T @ CQ
    _, vectors = np.linalg.eigh((T + T.T) / 2)
    return Q @ vectors[:, ::-1][:, :count]
