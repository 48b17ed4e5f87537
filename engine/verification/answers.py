"""Compares logits, losses and decisions on one split."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from ..contracts import BoostedModel, Examples, Tokens
from .findings import distance, magnitude

Matrix = NDArray[np.float64]
Index = NDArray[np.int64]
Mask = NDArray[np.bool_]

ROWS, TOKEN_ROWS = 4096, 256
"""Rows of logits held at once: a vocabulary is wide."""


@attrs.frozen(kw_only=True, eq=False)
class Margins:
    """How decided the truth is on every example: the least change of its logits that makes another decision."""

    classes: Matrix | None
    """Logits `(n, classes)`; None where tokens are predicted."""
    tokens: Matrix
    """For every token to be predicted, how far its logit is from the best of the others."""
    owner: Index
    """The example of every such token."""
    count: int

    def undecided(self, slack: float) -> Index:
        """For every example, how many of its decisions lie within `slack`."""
        if self.classes is None:
            return np.bincount(self.owner[self.tokens <= slack], minlength=self.count)
        top = np.sort(self.classes, axis=1)
        return (top[:, -1] - top[:, -2] <= slack).astype(np.int64)

    def excused(self, truth: Index, other: Index, slack: float) -> Mask:
        """Of two answers to every example, which may differ: by class if its logit is close to the best, else by count."""
        if self.classes is None:
            return np.abs(truth - other) <= self.undecided(slack)
        known = (other >= 0) & (other < self.classes.shape[1])
        rows = np.arange(self.count)
        gap = self.classes[rows, truth] - self.classes[rows, np.where(known, other, 0)]
        return known & (gap <= slack)


@attrs.frozen(kw_only=True, eq=False)
class Logits:
    """Errors of several models' logits against the truth's, and the truth's margins."""

    scale: float
    """Largest magnitude of the truth's."""
    errors: tuple[float, ...]
    margins: Margins
    note: str = ""


def read_logits(truth: BoostedModel, others: Sequence[BoostedModel], examples: Examples) -> Logits:
    """Compare logits piece by piece, so that a vocabulary's width never meets a whole split."""
    scale, errors, note = 0.0, [0.0] * len(others), ""
    classes, tokens, owner = list[Matrix](), list[Matrix](), list[Index]()
    for piece in _pieces(examples):
        rows = examples.take(piece)
        right = truth.logits(rows)
        scale = max(scale, magnitude(right))
        for i, other in enumerate(others):
            found = other.logits(rows)
            if found.shape != right.shape:
                note = f"shape {found.shape}, expected {right.shape}"
            errors[i] = max(errors[i], distance(found, right))
        if isinstance(rows.inputs, Tokens) and rows.inputs.targets.sum() > 0:
            tokens.append(_token_margins(right, rows.inputs))
            owner.append(np.repeat(piece, rows.inputs.targets))
        else:
            classes.append(right)
    margins = Margins(
        classes=np.concatenate(classes) if classes and not tokens else None,
        tokens=np.concatenate(tokens) if tokens else np.empty(0),
        owner=np.concatenate(owner) if owner else np.empty(0, dtype=np.int64),
        count=len(examples),
    )
    return Logits(scale=scale, errors=tuple(errors), margins=margins, note=note)


def _token_margins(logits: Matrix, tokens: Tokens) -> Matrix:
    """`|z_k - max_{j != k} z_j|` for every target token k."""
    targets = np.concatenate([tokens.completion(i) for i in range(len(tokens))])
    rows = np.arange(len(targets))
    own = logits[rows, targets]
    rest = logits.copy()
    rest[rows, targets] = -math.inf
    return np.abs(own - rest.max(axis=1))


def _pieces(examples: Examples) -> Iterator[Index]:
    """Indices of consecutive examples whose logits have a bounded number of rows, and of one example at least."""
    tokens = isinstance(examples.inputs, Tokens) and examples.inputs.targets.sum() > 0
    rows = examples.inputs.targets if tokens else np.ones(len(examples), dtype=np.int64)
    budget, start, held = (TOKEN_ROWS if tokens else ROWS), 0, 0
    for end, count in enumerate(rows.tolist()):
        if held and held + count > budget:
            yield np.arange(start, end)
            start, held = end, 0
        held += count
    yield np.arange(start, len(examples))
