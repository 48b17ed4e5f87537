"""Sketches of gradients that are never formed: exact if a side is short, otherwise with an estimated energy."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import numpy as np
from numpy.typing import NDArray

from ..contracts import Factors, GradientOracle, Products, Site
from ..foundation.rng import Streams

Matrix = NDArray[np.float64]

SHORT = 128
"""Sites with a side up to this length are exact: the identity serves as the factor of that side."""
DIRECTIONS, OVERSAMPLING, PROBES = 64, 8, 32
"""Leading directions of a sketch, oversampling columns, and independent columns for estimating the remainder."""
MAX_BYTES = 2**30
"""Maximum bytes of factors and products per pass."""


@attrs.frozen(kw_only=True, eq=False)
class Sketch:
    """One site's gradient as `G = Q Q'G + R`: `Q (d_out, k)` orthonormal, `inside = Q'G (k, d_in)`, and `probes = G z`.

    If a side is short, the sketch is exact: `Q` is None, `inside` is G itself, and there are no probes.
    """

    Q: Matrix | None
    inside: Matrix
    probes: Matrix | None
    """`G z (d_out, PROBES)` for standard normal z that are independent of Q."""

    @property
    def energy(self) -> float:
        """`||G||_F^2 = ||Q'G||_F^2 + E ||R z||^2`: Hutchinson's estimator for the remainder."""
        return inner(self, self)

    @property
    def error(self) -> float:
        """Standard error of the energy; 0 if it is exact."""
        if self.probes is None:
            return 0.0
        each = np.sum(self.outside**2, axis=0)
        return float(np.std(each, ddof=1) / np.sqrt(len(each)))

    @property
    def outside(self) -> Matrix:
        """`R z = (I - QQ') G z`; empty for an exact sketch."""
        if self.probes is None or self.Q is None:
            return np.zeros((0, 0))
        return self.probes - self.Q @ (self.Q.T @ self.probes)

    @property
    def values(self) -> Matrix:
        """Squares of the leading singular values, in descending order, as far as the sketch contains them."""
        values = np.linalg.svd(self.inside, compute_uv=False)[:DIRECTIONS]
        return np.asarray(values**2, dtype=np.float64)

    def times(self, O: Matrix) -> Matrix:  # noqa: E741 - as in the contract
        """`QQ'G O`: the product on the right, without the remainder."""
        found = self.inside @ O
        return found if self.Q is None else self.Q @ found

    def transposed_times(self, X: Matrix) -> Matrix:
        """`(QQ'G)' X`: the product on the left."""
        return self.inside.T @ (X if self.Q is None else self.Q.T @ X)


def inner(one: Sketch, other: Sketch) -> float:
    """`<G_1, G_2>` of two gradients with the same probes: exact inside both Q, and `E (G_1 z)'(G_2 z)` for the rest."""
    if one.Q is None or other.Q is None or one.probes is None or other.probes is None:
        return float(np.sum(one.inside * other.inside))
    found = float(np.sum((one.Q.T @ other.Q) * (one.inside @ other.inside.T)))
    R, T = one.outside, other.outside
    rest = R * (other.probes - T) + (one.probes - R) * T + R * T
    return found + float(np.mean(np.sum(rest, axis=0)))


@attrs.frozen(kw_only=True)
class Plan:
    """The factor on the right (for short outputs, on the left) of every site's gradient."""

    sites: tuple[Site, ...]
    right: Factors
    left: Factors

    @classmethod
    def of(cls, sites: tuple[Site, ...], streams: Streams, number: int) -> Plan:
        """Identities for short sides, else Gaussian columns from the site's own stream."""
        right, left = dict[str, Matrix](), dict[str, Matrix]()
        for site in sites:
            d_out, d_in = site.shape
            if d_in <= SHORT:
                right[site.name] = np.eye(d_in)
            elif d_out <= SHORT:
                left[site.name] = np.eye(d_out)
            else:
                rng = streams("sketch", number, site.name)
                right[site.name] = rng.standard_normal((d_in, DIRECTIONS + OVERSAMPLING + PROBES))
        return cls(sites=sites, right=right, left=left)

    def sketches(self, oracle: GradientOracle) -> dict[str, Sketch]:
        """Every site's sketch, in two passes, or one if all are exact."""
        products, found = products_in_passes(oracle, self.right, self.left), dict[str, Sketch]()
        leading = dict[str, Matrix]()
        for site in self.sites:
            if min(site.shape) > SHORT:
                leading[site.name] = np.linalg.qr(_right(products, site)[:, : DIRECTIONS + OVERSAMPLING])[0]
            else:
                own = products[site.name].left
                whole = _right(products, site) if own is None else own.T
                found[site.name] = Sketch(Q=None, inside=whole, probes=None)
        second_pass = products_in_passes(oracle, {}, leading) if leading else {}
        for name, Q in leading.items():
            inside, right = second_pass[name].left, products[name].right
            assert inside is not None and right is not None, f"{name}: no products"  # noqa: PT018
            columns = slice(DIRECTIONS + OVERSAMPLING, None)
            found[name] = Sketch(Q=Q, inside=inside.T, probes=right[:, columns])
        return {site.name: found[site.name] for site in self.sites}


def products_in_passes(oracle: GradientOracle, right: Factors, left: Factors) -> dict[str, Products]:
    """Products at all sites, in as many passes as memory requires."""
    found = dict[str, Products]()
    for group in _groups(right, left):
        found |= oracle.gradient_products(
            right={name: right[name] for name in group if name in right},
            left={name: left[name] for name in group if name in left},
        )
    return found


def _groups(right: Factors, left: Factors) -> list[list[str]]:
    groups, size = list[list[str]](), MAX_BYTES
    for name in dict.fromkeys([*right, *left]):
        need = sum(2 * X.nbytes for X in (right.get(name), left.get(name)) if X is not None)
        if size + need > MAX_BYTES:
            groups.append([])
            size = 0
        groups[-1].append(name)
        size += need
    return groups


def _right(products: Mapping[str, Products], site: Site) -> Matrix:
    found = products[site.name].right
    assert found is not None, f"{site.name}: no products on the right"
    return found
