"""Made-up inputs, for comparing two models where no data are at hand."""

from __future__ import annotations

import numpy as np

from ..contracts import Blueprint, Examples, Tokens
from ..errors import UsageError
from ..foundation.rng import Streams

LENGTH = 24
"""Tokens of a sequence."""


def probes(blueprint: Blueprint, count: int) -> Examples:
    """`count` random inputs, always the same: tokens drawn evenly from the vocabulary, or rows of standard normal numbers.

    Raises `UsageError` for an architecture whose inputs nobody knows.
    """
    rng, family = Streams(0)("probes"), blueprint.architecture.partition("/")[0]
    numbers = np.arange(count, dtype=np.int64)
    if family in {"causal-lm", "classifier"}:
        vocabulary = int(blueprint.config["hf"]["vocab_size"])
        drawn = rng.integers(0, vocabulary, (count, LENGTH)).tolist()
        starts = [LENGTH // 2] * count if family == "causal-lm" else None
        tokens = Tokens.join(drawn, starts, cut=[False] * count)
        return Examples(ids=numbers, inputs=tokens, labels=np.zeros_like(numbers))
    first = next((w for w in blueprint.weights if w.role == "linear" and len(w.shape) == 2), None)
    if first is None:
        raise UsageError(f"nothing is known of the inputs of {blueprint.architecture}")
    rows = rng.standard_normal((count, first.matrix[1]))
    return Examples(ids=numbers, inputs=rows, labels=np.zeros_like(numbers))
