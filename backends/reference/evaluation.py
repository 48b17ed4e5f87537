"""Targets, chunks of examples, and predictions from logits."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np

from ...engine.contracts import Examples, Predictions, Tokens
from .arrays import Index, Matrix
from .losses import negative_log_likelihood, residual_losses

CHUNK = 8192
"""Rows of numeric inputs per forward pass; bounds the memory of activations."""
TOKENS = 512
"""Tokens per forward pass, since every token may have logits over the vocabulary; a longer text is one chunk."""


@attrs.frozen(eq=False)
class Targets:
    """Targets of the rows of logits: `ids (rows,)`, and rows per example, `counts (n,)`."""

    ids: Index
    counts: Index

    def row_weights(self, weights: Matrix) -> Matrix:
        """`w_i / n_i` for every row `(rows,)` of example i."""
        # `maximum`: an empty completion has no rows, and its weight is not used.
        return np.repeat(weights / np.maximum(self.counts, 1), self.counts)

    def per_example(self, values: Matrix) -> Matrix:
        """Sum of a row-wise quantity over each example's rows `(n,)`, float64."""
        owner = np.repeat(np.arange(len(self.counts)), self.counts)
        return np.bincount(owner, weights=values, minlength=len(self.counts))


def targets_of(examples: Examples, *, predicts_tokens: bool) -> Targets:
    """The completion tokens, or the class labels."""
    if not predicts_tokens:
        return Targets(examples.labels, np.ones(len(examples), dtype=np.int64))
    tokens: Tokens = examples.inputs
    ids = [tokens.completion(i) for i in range(len(tokens))]
    return Targets(np.concatenate([*ids, np.empty(0, dtype=np.int64)]).astype(np.int64), tokens.targets)


def predictions_of(logits: Matrix, examples: Examples, *, predicts_tokens: bool) -> Predictions:
    """The argmax class (the first, on a tie), its loss and all logits; for completions, the number of argmax tokens and their mean loss.

    In regression the only output is the standardised value, and the loss its squared error.
    """
    output = np.argmax(logits, axis=1).astype(np.int64)
    if examples.values is not None:
        y = examples.values.standardised.astype(logits.dtype)
        loss = residual_losses(logits[:, 0] - y).astype(np.float64)
        return Predictions(output=output, loss=loss, logits=logits.astype(np.float64))
    targets = targets_of(examples, predicts_tokens=predicts_tokens)
    loss = negative_log_likelihood(logits, targets.ids).astype(np.float64)
    if not predicts_tokens:
        return Predictions(output=output, loss=loss, logits=logits.astype(np.float64))
    hits = targets.per_example((output == targets.ids).astype(np.float64)).astype(np.int64)
    mean = targets.per_example(loss) / np.maximum(targets.counts, 1)
    return Predictions(output=hits, loss=mean, targets=targets.counts)


def concatenated(parts: list[Predictions]) -> Predictions:
    """The predictions of several chunks as one."""
    counts = [part.targets for part in parts if part.targets is not None]
    logits = [part.logits for part in parts if part.logits is not None]
    return Predictions(
        output=np.concatenate([part.output for part in parts]),
        loss=np.concatenate([part.loss for part in parts]),
        targets=np.concatenate(counts) if counts else None,
        logits=np.concatenate(logits) if logits else None,
    )


def chunks(examples: Examples) -> Iterator[Examples]:
    """Chunks of bounded size, in order; one empty chunk if there are no examples."""
    sizes = examples.inputs.lengths if isinstance(examples.inputs, Tokens) else None
    start = 0
    while True:
        if sizes is None:
            end = min(start + CHUNK, len(examples))
        else:
            # As many whole texts as fit; at least one, since a text is never split.
            within = int(np.searchsorted(np.cumsum(sizes[start:]), TOKENS, side="right"))
            end = min(start + max(within, 1), len(examples))
        yield examples.take(np.arange(start, end))
        start = end
        if start >= len(examples):
            return
