"""Which sites a round adapts: those where the loss falls fastest along what may be trained."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..contracts import Frame, GradientOracle, LinearCore, Parametrisation


def steepest(
    frames: Mapping[str, Frame],
    parametrisations: Mapping[str, Parametrisation],
    oracle: GradientOracle,
    count: int,
) -> list[str]:
    """The `count` sites with the largest gradient `||dL/dv||` at the model as it is, in the order of sites.

    `dL/dv_i = <P_i, dL/dR>` with `dL/dR = diag(S^a) U' G V diag(S^b)`, of products `G' U diag(S^a)` in one pass; of equal ones, the first.
    """
    cores = {site: p for site, p in parametrisations.items() if isinstance(p, LinearCore)}
    sides = {site: frames[site].U * frames[site].S ** p.exponents[0] for site, p in cores.items()}
    products = oracle.gradient_products(left=sides)
    sizes = list[float]()
    for site, p in cores.items():
        product = products[site].left
        if product is None:
            raise TypeError(f"{site}: the backend gave no product")
        right = frames[site].V * frames[site].S ** p.exponents[1]
        sizes.append(float(np.linalg.norm(pulled_back(p, product.T @ right))))
    chosen = set(np.argsort(-np.array(sizes), kind="stable")[:count].tolist())
    return [site for place, site in enumerate(cores) if place in chosen]


def pulled_back(core: LinearCore, slope: NDArray[np.float64]) -> NDArray[np.float64]:
    """`<P_i, dL/dR>` for every i `(u,)`."""
    return slope.ravel() if core.projections is None else np.tensordot(core.projections, slope, 2)
