"""The randomised range finder: leading singular pairs of a gradient that is never formed, in two passes over the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...contracts import GradientOracle
from .complement import Matrix
from .finite import require_finite
from .pairs import SingularPairs, leading_singular_pairs
from .site_complements import SiteComplements


def gradient_singular_pairs(
    oracle: GradientOracle, complements: Sequence[SiteComplements], count: int, oversample: int
) -> Mapping[str, SingularPairs]:
    """The `count` leading singular pairs of `A = (I - P_U) G (I - P_V)` of all sites, in two passes.

    1. `Y = (I - P_U) G O` for `k = count + oversample` random orthonormal columns `O (d_in, k)` of the right complement, which span
       the range of a Gaussian matrix; `Q` is an orthonormal basis of the range of `Y`.
    2. `Z = (I - P_V) G'Q`; the pairs are those of `Q Z' = Q Q' (I - P_U) G (I - P_V)`.

    Algorithms 4.1 and 5.1 of Halko, Martinsson and Tropp (Finding Structure with Randomness, SIAM Review 53, 2011). The result is
    exact if `k` is at least the rank of `A` or the dimension of a complement. Otherwise `E ||A - Q Q'A||_F <=
    sqrt(1 + count / (oversample - 1)) sqrt(sum_{j > count} s_j^2)` for `oversample >= 2` (Theorem 10.5): near the best
    error if the spectrum decays.
    A left complement of dimension at most k is used whole, without the first pass. A gradient of rank below `count` is completed at
    random. Raises `NonFiniteError`.
    """
    k = count + oversample
    sketches = {
        complement.name: complement.right.random(min(k, complement.right.dimension), complement.rng)
        for complement in complements
        if complement.left.dimension > k
    }
    first = oracle.gradient_products(right=sketches) if sketches else {}
    ranges = {
        complement.name: _range_basis(complement, first[complement.name].right, k)
        if complement.name in first
        else complement.left.random(complement.left.dimension, complement.rng)
        for complement in complements
    }
    # All sites at once: a pass costs a forward and a backward of every batch, however many sites read from it.
    second = oracle.gradient_products(left=ranges)
    return {
        complement.name: leading_singular_pairs(
            ranges[complement.name],
            require_finite(second[complement.name].left, complement.name, "gradient"),
            complement,
            count,
        )
        for complement in complements
    }


def _range_basis(complement: SiteComplements, product: Matrix | None, k: int) -> Matrix:
    """An orthonormal basis of the range of `Y`, with at most k columns."""
    Y = require_finite(product, complement.name, "gradient")
    return complement.left.span(Y, min(k, Y.shape[1]), complement.rng)
