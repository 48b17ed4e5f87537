"""Leakage between splits: held-out inputs that also occur in the training data."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from ..contracts import Examples, Prompts, Splits, Texts
from ..foundation.counts import count_text

HELD_OUT = ("validation", "test")


def warn_of_leakage(splits: Splits, task: str) -> None:
    """Warn of held-out examples whose exact input occurs in `train`, or in the `source` data that the base is pretrained on."""
    seen = {key for part in (splits.train, splits.source) if part is not None for key in _inputs(part)}
    found = list[str]()
    for name in HELD_OUT:
        keys = _inputs(getattr(splits, name))
        if count := sum(key in seen for key in keys):
            found.append(f"{count} of {count_text(len(keys), f'{name} example')}")
    if found:
        warnings.warn(
            f"task {task}: {' and '.join(found)} have inputs that also occur in the training data: their accuracy may "
            "measure memorisation; put each input into one split only",
            RuntimeWarning,
            stacklevel=2,
        )


def _inputs(examples: Examples) -> Sequence[Hashable]:
    """Hashable inputs, one per example; empty for a task's own input type."""
    inputs: Any = examples.inputs
    match inputs:
        case Texts():
            return inputs.rows
        case Prompts():
            return inputs.prompts
        case np.ndarray():
            rows = (
                np.ascontiguousarray(inputs).reshape(len(inputs), -1) + 0
            )  # -0.0 + 0 is 0.0: equal numbers get equal bytes
            return [row.tobytes() for row in rows]
        case _:
            return ()
