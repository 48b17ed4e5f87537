"""Leakage between splits: inputs that are tested and were trained on."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from ..contracts import Examples, Prompts, Splits, Texts

HELD_OUT = ("validation", "test")


def warn_of_leakage(splits: Splits, task: str) -> None:
    """Say how many held-out examples have an input, exactly, that the model was trained on: of `train`, or of `source`."""
    seen = {key for part in (splits.train, splits.source) if part is not None for key in _inputs(part)}
    found = list[str]()
    for name in HELD_OUT:
        keys = _inputs(getattr(splits, name))
        if count := sum(key in seen for key in keys):
            found.append(f"{count} of {len(keys)} {name} examples")
    if found:
        warnings.warn(
            f"task {task}: {' and '.join(found)} have inputs that are trained on too: what is right there may be remembered, not "
            "learned; give each input to one split alone",
            RuntimeWarning,
            stacklevel=2,
        )


def _inputs(examples: Examples) -> Sequence[Hashable]:
    """What a model is asked in each example; empty for inputs of a task's own kind."""
    inputs: Any = examples.inputs
    match inputs:
        case Texts():
            return inputs.rows
        case Prompts():
            return inputs.prompts
        case np.ndarray():
            rows = np.ascontiguousarray(inputs).reshape(len(inputs), -1) + 0  # -0.0 becomes 0.0
            return [row.tobytes() for row in rows]
        case _:
            return ()
