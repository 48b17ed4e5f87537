"""The sites that a round adapts (`boosting.top_sites`): those with the largest gradient norm of the trainable parameters.

To first order, a step of length h along the gradient at one site lowers the loss by `h ||dL/dv||`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..contracts import Frame, GradientOracle, LinearCore, Parametrisation


def largest_gradient_sites(
    frames: Mapping[str, Frame],
    parametrisations: Mapping[str, Parametrisation],
    oracle: GradientOracle,
    count: int,
) -> list[str]:
    """The `count` sites with the largest `||dL/dv||_2` at the current model, in the order of sites. Ties go to the earlier site.

    By the chain rule `dL/dv_i = <P_i, dL/dR>`, with `dL/dR = diag(S^a) U' G V diag(S^b) (r, r)`. One pass gives all products
    `G' U diag(S^a) (d_in, r)`.
    """
    cores = {site: p for site, p in parametrisations.items() if isinstance(p, LinearCore)}
    left = {site: frames[site].U * frames[site].S ** p.exponents[0] for site, p in cores.items()}
    products = oracle.gradient_products(left=left)
    norms = list[float]()
    for site, p in cores.items():
        product = products[site].left
        if product is None:
            raise TypeError(f"{site}: gradient_products() returned no left product")
        right = frames[site].V * frames[site].S ** p.exponents[1]
        norms.append(float(np.linalg.norm(core_gradient(p, product.T @ right))))
    chosen = set(np.argsort(-np.array(norms), kind="stable")[:count].tolist())
    return [site for index, site in enumerate(cores) if index in chosen]


def core_gradient(core: LinearCore, gradient: NDArray[np.float64]) -> NDArray[np.float64]:
    """`dL/dv (u,)` from `gradient = dL/dR (r, r)`: entry i is `<P_i, dL/dR>`."""
    return gradient.ravel() if core.projections is None else np.tensordot(core.projections, gradient, 2)
