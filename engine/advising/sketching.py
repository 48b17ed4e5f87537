"""The energy of a gradient that nobody has ever seen whole: exact where a side is short, estimated where it is not."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import numpy as np
from numpy.typing import NDArray

from ..contracts import Evidence, Factors, Products, Site
from ..streams import Streams

Matrix = NDArray[np.float64]

SHORT = 128
"""Sites with a side no longer than this are measured exactly: the identity of that side is a factor like any other."""
DIRECTIONS, SPARE, PROBES = 64, 8, 32
"""Leading directions that a sketch finds, columns beyond them, and independent columns that estimate what it misses."""
MOST_BYTES = 2**30
"""Factors and products of one pass; where sites need more, they are asked in several."""


@attrs.frozen(kw_only=True)
class Plan:
    """By site, the factor that is laid to the right (or, of short outputs, to the left) of its gradient."""

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
                right[site.name] = rng.standard_normal((d_in, DIRECTIONS + SPARE + PROBES))
        return cls(sites=sites, right=right, left=left)

    def is_exact(self, site: Site) -> bool:
        """Whether a site's energy is exact."""
        return min(site.shape) <= SHORT


@attrs.frozen(kw_only=True, eq=False)
class Sketch:
    """One site's gradient: `inside` is `Q'G` for an orthonormal Q, `outside` probes `(I - QQ') G z` (None: Q is everything)."""

    inside: Matrix
    outside: Matrix | None

    @property
    def energy(self) -> float:
        """`||G||_F^2 = ||Q'G||_F^2 + E ||(I - QQ') G z||^2` with z standard normal (Hutchinson's estimator, deflated)."""
        return inner(self, self)

    @property
    def error(self) -> float:
        """Standard error of the energy; 0 where it is exact."""
        if self.outside is None:
            return 0.0
        each = np.sum(self.outside**2, axis=0)
        return float(np.std(each, ddof=1) / np.sqrt(len(each)))

    @property
    def values(self) -> Matrix:
        """Squares of the leading singular values, largest first; of a sketch, what it found of them."""
        return np.linalg.svd(self.inside, compute_uv=False)[:DIRECTIONS] ** 2


def inner(one: Sketch, other: Sketch) -> float:
    """`<G_1, G_2>` of two gradients that were sketched with the same Q and the same probes."""
    found = float(np.sum(one.inside * other.inside))
    if one.outside is None or other.outside is None:
        return found
    return found + float(np.mean(np.sum(one.outside * other.outside, axis=0)))


def bases_of(plan: Plan, products: Mapping[str, Products]) -> Factors:
    """The Q of every site that is not exact, from its products with the sketch's columns: `orth(G Omega)`."""
    found = dict[str, Matrix]()
    for site in plan.sites:
        if not plan.is_exact(site):
            columns = _right(products, site)[:, : DIRECTIONS + SPARE]
            found[site.name] = np.linalg.qr(columns)[0]
    return found


def sketch_of(
    plan: Plan, site: Site, products: Mapping[str, Products], Q: Matrix | None, left: Matrix | None
) -> Sketch:
    """A site's sketch from the plan's products, and `left = G'Q` where there is a Q."""
    if plan.is_exact(site):
        own = products[site.name]
        G = own.right if site.name in plan.right else None if own.left is None else own.left.T
        assert G is not None, f"{site.name}: no products"
        return Sketch(inside=G, outside=None)
    assert Q is not None and left is not None, f"{site.name}: no sketch"  # noqa: PT018 - one condition
    probes = _right(products, site)[:, DIRECTIONS + SPARE :]
    return Sketch(inside=left.T, outside=probes - Q @ (Q.T @ probes))


def ask(evidence: Evidence, right: Factors, left: Factors) -> dict[str, Products]:
    """Products at all sites, in as many passes as their memory takes."""
    found, group, size = dict[str, Products](), list[str](), 0
    names = list(dict.fromkeys([*right, *left]))
    for name in names:
        need = sum(2 * X.nbytes for X in (right.get(name), left.get(name)) if X is not None)
        if group and size + need > MOST_BYTES:
            found |= _asked(evidence, group, right, left)
            group, size = [], 0
        group.append(name)
        size += need
    return found | (_asked(evidence, group, right, left) if group else {})


def _asked(evidence: Evidence, group: list[str], right: Factors, left: Factors) -> Mapping[str, Products]:
    return evidence.gradient_products(
        right={name: right[name] for name in group if name in right},
        left={name: left[name] for name in group if name in left},
    )


def _right(products: Mapping[str, Products], site: Site) -> Matrix:
    found = products[site.name].right
    assert found is not None, f"{site.name}: no products to the right"
    return found
