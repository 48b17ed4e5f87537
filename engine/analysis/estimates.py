"""Means over seeds with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..statistics.bootstrap import bca_many
from .model import Estimate


def estimates(cells: Sequence[Mapping[str, float]], confidence: float) -> dict[str, Estimate]:
    """Mean and interval of every metric that all cells have.

    One that some cell lacks is left out: a mean over other seeds than the row's would stand beside those of its seeds.
    """
    if not cells:
        return {}
    names = [name for name in cells[0] if all(name in cell for cell in cells)]
    columns = [tuple(float(cell[name]) for cell in cells) for name in names]
    intervals = bca_many(np.array(columns, dtype=np.float64).reshape(len(names), len(cells)), confidence)
    return {
        name: Estimate(
            mean=float(np.mean(values)),
            low=None if interval is None else interval[0],
            high=None if interval is None else interval[1],
            values=values,
        )
        for name, values, interval in zip(names, columns, intervals, strict=True)
    }
