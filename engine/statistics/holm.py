"""Holm's correction for several tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Adjusted p-values: rejecting those at most alpha bounds the family-wise error rate by alpha.

    With `p_(1) <= … <= p_(m)`, `adjusted_(i) = min(1, max_(j <= i) (m - j + 1) p_(j))`, under any dependence of the tests.
    None stands for a test that was not made: it stays None and is not counted in m.

    Raises:
        ValueError: for a p outside [0, 1].

    Reference:
        Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979), 65-70.
    """
    tested = [index for index, p in enumerate(ps) if p is not None]
    values = np.array([ps[index] for index in tested], dtype=np.float64)
    # Negated, so that NaN fails too.
    if not np.all((values >= 0.0) & (values <= 1.0)):
        raise ValueError(f"p-values must lie in [0, 1]: {list(ps)}")
    order = np.argsort(values, kind="stable")
    # `(m - j + 1) p_(j)`; the running maximum below keeps the order of the p-values.
    steps = np.arange(len(values), 0, -1) * values[order]
    adjusted: list[float | None] = [None] * len(ps)
    for place, p in zip(order.tolist(), np.minimum(1.0, np.maximum.accumulate(steps)).tolist(), strict=True):
        # Back to the caller's order, past the tests that were not made.
        adjusted[tested[place]] = p
    return adjusted
