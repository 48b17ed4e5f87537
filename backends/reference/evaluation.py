"""What is to be predicted, in which portions, and how the answers are read off the logits."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np

from ...engine.contracts import Examples, Predictions, Tokens
from .arrays import Index, Matrix
from .losses import negative_log_likelihood

CHUNK = 8192
"""Rows of numbers evaluated at once: bounds the memory of activations."""
TOKENS = 512
"""The same for texts, counted in tokens, each of which may have logits as wide as a vocabulary; a longer text goes by itself."""


@attrs.frozen(eq=False)
class Targets:
    """What the rows of logits are to predict: `ids (rows,)`, and how many rows each example has, `counts (n,)`."""

    ids: Index
    counts: Index

    def spread(self, weights: Matrix) -> Matrix:
        """Every example's weight shared out evenly over its rows `(rows,)`."""
        return np.repeat(weights / np.maximum(self.counts, 1), self.counts)

    def totals(self, values: Matrix) -> Matrix:
        """Sums of the rows' values over every example `(n,)` float64."""
        owner = np.repeat(np.arange(len(self.counts)), self.counts)
        return np.bincount(owner, weights=values, minlength=len(self.counts))


def targets_of(examples: Examples, *, completes: bool) -> Targets:
    """The tokens of the completions, or the classes."""
    if not completes:
        return Targets(examples.labels, np.ones(len(examples), dtype=np.int64))
    tokens: Tokens = examples.inputs
    ids = [tokens.completion(i) for i in range(len(tokens))]
    return Targets(np.concatenate([*ids, np.empty(0, dtype=np.int64)]).astype(np.int64), tokens.targets)


def answers(logits: Matrix, targets: Targets, *, completes: bool) -> Predictions:
    """The likeliest class (the first, on a tie) and the label's loss; for completions, hits and the mean loss of the tokens."""
    loss = negative_log_likelihood(logits, targets.ids).astype(np.float64)
    output = np.argmax(logits, axis=1).astype(np.int64)
    if not completes:
        return Predictions(output=output, loss=loss)
    hits = targets.totals((output == targets.ids).astype(np.float64)).astype(np.int64)
    mean = targets.totals(loss) / np.maximum(targets.counts, 1)
    return Predictions(output=hits, loss=mean, targets=targets.counts)


def joined(parts: list[Predictions]) -> Predictions:
    """The answers to several portions as one."""
    counts = [part.targets for part in parts if part.targets is not None]
    return Predictions(
        output=np.concatenate([part.output for part in parts]),
        loss=np.concatenate([part.loss for part in parts]),
        targets=np.concatenate(counts) if counts else None,
    )


def chunks(examples: Examples) -> Iterator[Examples]:
    """The examples in order, in portions of bounded size; one empty portion where there is none."""
    sizes = examples.inputs.lengths if isinstance(examples.inputs, Tokens) else None
    start = 0
    while True:
        if sizes is None:
            end = min(start + CHUNK, len(examples))
        else:
            within = int(np.searchsorted(np.cumsum(sizes[start:]), TOKENS, side="right"))
            end = min(start + max(within, 1), len(examples))
        yield examples.take(np.arange(start, end))
        start = end
        if start >= len(examples):
            return
