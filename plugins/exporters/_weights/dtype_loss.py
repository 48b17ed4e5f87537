"""How much of what was learned survives in a coarse dtype."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....engine.contracts import Exportable
from .cast import cast
from .tensors import CODES

ENOUGH = 0.9
"""The share of what was learned below which an export says so."""
COARSENESS = ("bfloat16", "float16", "float32", "float64")
"""Dtypes, the coarsest first: significant bits 8, 11, 24, 53."""
ROWS = 512
"""Rows of a weight handled at once."""

Rounding = Callable[[NDArray[Any]], NDArray[Any]]
"""What a form makes of rows of a merged weight."""


def kept(ensemble: Exportable, dtype: str | Rounding) -> float:
    """The share of what was learned that is left after one cast, in [0, 1]; 1 where nothing was learned.

    `1 - sqrt(sum_s ||c(W_s) - W_s||_F^2 / sum_s ||W_s - W_s^0||_F^2)`, at least 0, over all sites s with an update: `W_s^0` is the
    base weight and `W_s` the merged one, as the evaluated model has them (float32 or float64), `c` is the cast, and sums are in
    float64. So it holds the distance of the export from the evaluated model against the distance that training went. Where the
    base itself does not fit into the dtype, what rounding does to it counts as well: then it hides as much. `dtype` is a name,
    `stored` for that of each weight's file, or a function that rounds rows of a weight.
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
        ensemble.report("weighing the precision", done, len(sites))
    return 1.0 if learned == 0.0 else max(0.0, 1.0 - float(np.sqrt(lost / learned)))


def _cast(W: NDArray[Any], dtype: str, site: str) -> NDArray[Any]:
    return cast(W, CODES[dtype], site)


def coarsest(dtypes: Iterable[str]) -> str:
    """The coarsest of dtypes; float32 of none."""
    return min(dtypes, key=COARSENESS.index, default="float32")


def precision_of(ensemble: Exportable, dtype: str) -> str:
    """The coarsest dtype in which a file keeps an adapted weight, where `stored` stands for that of the base's file."""
    if dtype != "stored":
        return dtype
    adapted = {site.name for site in ensemble.sites}
    return coarsest(w.dtype for w in ensemble.source.blueprint.weights if w.name in adapted)


def warn_of_loss(ensemble: Exportable, dtype: str) -> None:
    """Warn where the export's dtype keeps less than 90 % of what was learned."""
    coarse = precision_of(ensemble, dtype)
    if coarse not in {"bfloat16", "float16"}:
        return
    share = kept(ensemble, dtype)
    if share < ENOUGH:
        warnings.warn(
            f"in {coarse} only {100 * share:.0f} % of what was learned is kept; export with dtype=float32",
            stacklevel=3,
        )
