"""Checks, on a few tokens before the first round, that a text model handles padding and is causal."""

from __future__ import annotations

import attrs
import numpy as np
import torch
from torch import Tensor

from ...engine.contracts import Examples, Tokens
from ...engine.errors import UsageError
from ...engine.foundation.options import shortened
from .devices import Placement
from .nets import CausalNet, ClassifierNet, Net

TOLERANCES = {torch.float64: 1e-6, torch.float32: 1e-3, torch.bfloat16: 0.2, torch.float16: 0.2}
"""Relative error of the logits; a wrong model is off by their size."""


def check_texts(net: Net, examples: Examples, place: Placement) -> None:
    """Raise `UsageError` if logits depend on the rest of the batch, or, in a causal model, on later tokens.

    `examples` should be few and short.
    """
    if not isinstance(examples.inputs, Tokens) or not len(examples):
        return
    # Our own classifier is named by the encoder it wraps.
    name = type(net.module.model if isinstance(net, ClassifierNet) else net.module).__name__
    with torch.no_grad():
        rows = _two_lengths(examples)
        together = _logits(net, rows, name)
        alone = torch.cat([net.logits(rows.take(np.array([i]))) for i in range(len(rows))])
        if not _same(together, alone, place):
            raise UsageError(
                f"{name}: its logits for a text depend on the other texts in the batch or on padding; it cannot be trained in batches"
            )
        if isinstance(net, CausalNet) and not _same(net.logits(_changed_end(rows)), together, place):
            raise UsageError(f"{name}: its logits depend on later tokens: it is not a causal language model")


def _logits(net: Net, rows: Examples, name: str) -> Tensor:
    try:
        return net.logits(rows)
    except (TypeError, ValueError, AttributeError, NotImplementedError) as error:
        raise UsageError(
            f"{name} cannot be called with token ids alone: {shortened(' '.join(str(error).split()), 200)}"
        ) from error


def _same(found: Tensor, expected: Tensor, place: Placement) -> bool:
    return bool((found - expected).norm() <= TOLERANCES[place.compute_dtype] * expected.norm())


def _two_lengths(examples: Examples) -> Examples:
    """The first text, and its first half (with one token of completion, if it has one)."""
    tokens: Tokens = examples.inputs
    start, whole = int(tokens.starts[0]), tokens.sequence(0).tolist()
    types = None if tokens.types is None else tokens.types[: len(whole)].tolist()
    has_completion = start < len(whole)
    half = max(1, (start if has_completion else len(whole)) // 2)
    lengths = (len(whole), half + 1 if has_completion else half)
    joined = Tokens.join(
        [whole[:n] for n in lengths],
        (start, half) if has_completion else None,
        types=None if types is None else [types[:n] for n in lengths],
    )
    return Examples(ids=np.arange(2), inputs=joined, labels=examples.labels[[0, 0]])


def _changed_end(examples: Examples) -> Examples:
    """The examples with the last token of every text, which predicts nothing, replaced by its first."""
    tokens: Tokens = examples.inputs
    ids = tokens.ids.copy()
    ids[tokens.offsets[1:] - 1] = ids[tokens.offsets[:-1]]
    return attrs.evolve(examples, inputs=attrs.evolve(tokens, ids=ids))
