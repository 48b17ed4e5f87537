"""The leading singular pairs of a gradient that nobody has seen: a randomised range finder in two passes over the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...contracts import GradientOracle
from .complement import Matrix
from .finite import finite
from .pairs import Pairs, leading_pairs
from .unused import Unused


def find_pairs(
    oracle: GradientOracle, places: Sequence[Unused], count: int, oversample: int
) -> Mapping[str, Pairs]:
    """The `count` leading singular pairs of `G' = (I - P_U) G (I - P_V)` at every site, all sites in the same two passes.

    1. `Y = (I - P_U) G O` for `k = count + oversample` random orthonormal columns `O` of the right complement (those of a Gaussian
       matrix: the same range); `Q` is an orthonormal basis of the range of `Y`.
    2. `Z = (I - P_V) G'Q`; the pairs are those of `Q Z' = Q Q' G'`.

    Algorithms 4.1 and 5.1 of Halko, Martinsson and Tropp (2011). With `k` at least the rank of `G'`, or as many columns as a
    complement has directions, they are exact; else the error is near that of the best `count` pairs where the spectrum decays.
    A complement of no more than k directions on the left is taken whole, without the first pass. A gradient that vanishes, or has
    fewer pairs, is filled up from the site's stream. Raises `NonFiniteError`.
    """
    k = count + oversample
    sketches = {
        place.name: place.right.random(min(k, place.right.dimension), place.rng)
        for place in places
        if place.left.dimension > k
    }
    first = oracle.gradient_products(right=sketches) if sketches else {}
    ranges = {
        place.name: _range(place, first[place.name].right, k)
        if place.name in first
        else place.left.random(place.left.dimension, place.rng)
        for place in places
    }
    second = oracle.gradient_products(left=ranges)
    return {
        place.name: leading_pairs(
            ranges[place.name], finite(second[place.name].left, place.name, "gradient"), place, count
        )
        for place in places
    }


def _range(place: Unused, product: Matrix | None, k: int) -> Matrix:
    """An orthonormal basis of the range of `Y`, of at most k columns."""
    Y = finite(product, place.name, "gradient")
    return place.left.span(Y, min(k, Y.shape[1]), place.rng)
