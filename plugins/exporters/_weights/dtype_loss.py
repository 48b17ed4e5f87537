"""The precision loss of an update in a coarse dtype."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....engine.contracts import Exportable
from .tensors import CODES, cast

ENOUGH = 0.9
"""Share of the update below which an export warns."""
COARSENESS = ("bfloat16", "float16", "float32", "float64")
"""Dtypes from coarse to fine: 8, 11, 24 and 53 significant bits."""
ROWS = 512
"""Rows of a weight per block."""

Rounding = Callable[[NDArray[Any]], NDArray[Any]]
"""Rounds rows of a merged weight to an export format."""


def kept_share(ensemble: Exportable, dtype: str | Rounding) -> float:
    """The share of the update that survives one cast, in [0, 1]; 1 without an update.

    `1 - sqrt(sum_s ||c(W_s) - W_s||_F^2 / sum_s ||W_s - W_s^0||_F^2)`, at least 0, over all sites s with an update: `W_s^0` is the
    base weight and `W_s` the merged weight of the evaluated model (float32 or float64), `c` is the cast, and sums are in float64. It
    compares the distance of the export from the evaluated model with the distance of training. If the base itself is not
    exact in the dtype, its rounding error counts too. `dtype` is a name, `stored` for that of each weight's file, or a function
    that rounds rows of a weight.
    """
    stored = {weight.name: weight.dtype for weight in ensemble.source.blueprint.weights}
    lost = learned = 0.0
    sites = [site.name for site in ensemble.sites if ensemble.updates(site.name)]
    for done, site in enumerate(sites, start=1):
        base, merged = ensemble.store.merged(site), ensemble.merged(site)
        for start in range(0, len(merged), ROWS):
            W = merged[start : start + ROWS]
            rounded = (
                dtype(W) if callable(dtype) else _cast(W, stored[site] if dtype == "stored" else dtype, site)
            )
            exact = W.astype(np.float64)
            lost += float(np.sum((rounded.astype(np.float64) - exact) ** 2))
            learned += float(np.sum((exact - base[start : start + ROWS]) ** 2))
        ensemble.report("measuring precision loss", done, len(sites))
    return 1.0 if learned == 0.0 else max(0.0, 1.0 - float(np.sqrt(lost / learned)))


def _cast(W: NDArray[Any], dtype: str, site: str) -> NDArray[Any]:
    return cast(W, CODES[dtype], site)


def coarsest(dtypes: Iterable[str]) -> str:
    """The coarsest of the dtypes; float32 if there are none."""
    return min(dtypes, key=COARSENESS.index, default="float32")


def precision_of(ensemble: Exportable, dtype: str) -> str:
    """The coarsest dtype of an adapted weight in the export; `stored` means the dtypes of the base's files."""
    if dtype != "stored":
        return dtype
    adapted = {site.name for site in ensemble.sites}
    return coarsest(w.dtype for w in ensemble.source.blueprint.weights if w.name in adapted)


def warn_of_precision_loss(ensemble: Exportable, dtype: str) -> None:
    """Warn if the export's dtype keeps less than 90 % of the update."""
    coarse = precision_of(ensemble, dtype)
    if coarse not in {"bfloat16", "float16"}:
        return
    share = kept_share(ensemble, dtype)
    if share < ENOUGH:
        warnings.warn(
            f"{coarse} keeps only {100 * share:.0f} % of the update; export with dtype=float32",
            stacklevel=3,
        )
