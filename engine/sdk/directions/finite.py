"""Products with a model's gradients and activations are checked before they are decomposed."""

from __future__ import annotations

import numpy as np

from ...errors import NonFiniteError
from .complement import Matrix


def require_finite(product: Matrix | None, site: str, what: str) -> Matrix:
    """The product as float64. Raises `NonFiniteError` naming the site if it contains NaN or Inf."""
    if product is None:
        raise TypeError(f"{site}: the requested {what} product is missing")
    if not np.isfinite(product).all():
        raise NonFiniteError(
            f"{site}: products with the {what} contain NaN or Inf; no directions can be computed from them"
        )
    return np.asarray(product, dtype=np.float64)
