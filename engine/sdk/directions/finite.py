"""What a model answers, held to be numbers before directions are taken from it."""

from __future__ import annotations

import numpy as np

from ...errors import NonFiniteError
from .complement import Matrix


def finite(product: Matrix | None, site: str, what: str) -> Matrix:
    """The product that was asked for. Raises `NonFiniteError` naming the site where it has NaN or Inf."""
    if product is None:
        raise TypeError(f"{site}: the {what} product that was asked for is missing")
    if not np.isfinite(product).all():
        raise NonFiniteError(
            f"{site}: products with the {what} contain NaN or Inf; no directions can be taken from it"
        )
    return np.asarray(product, dtype=np.float64)
