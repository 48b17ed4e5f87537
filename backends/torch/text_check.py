"""Whether a model of texts computes what the engine asks of it: tried out on a few tokens before the first round."""

from __future__ import annotations

import attrs
import numpy as np
import torch
from torch import Tensor

from ...engine.contracts import Examples, Tokens
from ...engine.errors import UsageError
from ...engine.foundation.options import shortened
from .devices import Place
from .nets import CausalNet, ClassifierNet, Net

TOLERANCES = {torch.float64: 1e-6, torch.float32: 1e-3, torch.bfloat16: 0.2, torch.float16: 0.2}
"""Relative error of logits: what is wrong here is off by their size."""


def check_texts(net: Net, examples: Examples, place: Place) -> None:
    """Refuse a model whose answer to a text depends on the texts beside it, or to a token on those behind it. Raises `UsageError`.

    `examples` are a few, and not long.
    """
    if not isinstance(examples.inputs, Tokens) or not len(examples):
        return
    # A classifier of ours is named by the encoder in it.
    name = type(net.module.model if isinstance(net, ClassifierNet) else net.module).__name__
    with torch.no_grad():
        rows = _uneven(examples)
        together = _first(net, rows, name)
        alone = torch.cat([net.logits(rows.take(np.array([i]))) for i in range(len(rows))])
        if not _same(together, alone, place):
            raise UsageError(
                f"{name}: what it says of a text depends on the texts beside it and their padding; such a model cannot be trained in batches"
            )
        if isinstance(net, CausalNet) and not _same(net.logits(_other_end(rows)), together, place):
            raise UsageError(
                f"{name}: what it says after a token depends on the tokens behind it: no causal language model"
            )


def _first(net: Net, rows: Examples, name: str) -> Tensor:
    try:
        return net.logits(rows)
    except (TypeError, ValueError, AttributeError, NotImplementedError) as error:
        raise UsageError(
            f"{name} cannot be computed from texts alone: {shortened(' '.join(str(error).split()), 200)}"
        ) from error


def _same(found: Tensor, expected: Tensor, place: Place) -> bool:
    return bool((found - expected).norm() <= TOLERANCES[place.compute] * expected.norm())


def _uneven(examples: Examples) -> Examples:
    """The first text, and its first half (of a completion, its first token too)."""
    tokens: Tokens = examples.inputs
    start, whole = int(tokens.starts[0]), tokens.sequence(0).tolist()
    types = None if tokens.types is None else tokens.types[: len(whole)].tolist()
    completes = start < len(whole)
    half = max(1, (start if completes else len(whole)) // 2)
    lengths = (len(whole), half + 1 if completes else half)
    joined = Tokens.join(
        [whole[:n] for n in lengths],
        (start, half) if completes else None,
        types=None if types is None else [types[:n] for n in lengths],
    )
    return Examples(ids=np.arange(2), inputs=joined, labels=examples.labels[[0, 0]])


def _other_end(examples: Examples) -> Examples:
    """The last token of every text, of which nothing is asked, replaced by its first."""
    tokens: Tokens = examples.inputs
    ids = tokens.ids.copy()
    ids[tokens.offsets[1:] - 1] = ids[tokens.offsets[:-1]]
    return attrs.evolve(examples, inputs=attrs.evolve(tokens, ids=ids))
