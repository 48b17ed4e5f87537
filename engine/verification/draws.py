"""Holds answers to their draws: every token where its draw falls, every answer up to where it may end."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from ..contracts import GenerationRequest, Tokens
from .findings import Finding

Matrix = NDArray[np.float64]
ROOM = 2.0
"""Allowed errors of a logit by which a border may be off. One moves a cumulated probability by half itself at most, and a nucleus
that is cut to `top_p` divides that by it."""


@attrs.define(eq=False)
class Held:
    """Answers that are held to a request, one after the other; counts of what was found."""

    request: GenerationRequest
    tokens: Tokens
    wrong: int = 0
    """Tokens that the draws do not say, and answers that end where nothing ends them."""
    excused: int = 0
    """Tokens whose draw is so near a border that rounding decides."""
    compared: int = 0

    def add(self, row: int, z: Matrix, slack: float) -> None:
        """Hold one answer to the right logits over the temperature `z (targets, vocabulary)`, each off by `slack` at most."""
        self.compared += len(z)
        self.wrong += not self._may_end(self.tokens.completion(row))
        if self.request.draws is None or self.request.sampling is None:
            chosen = self.tokens.completion(row).astype(np.int64)
            off = z.max(axis=1) - z[np.arange(len(z)), chosen]
        else:
            off = self._outside(z, row, slack)
        room = ROOM * slack
        self.wrong += int(np.sum(off > room))
        self.excused += int(np.sum((off > 0.0) & (off <= room)))

    def finding(self, where: Finding) -> Finding:
        """What it came to: no token may be wrong."""
        return attrs.evolve(where, error=float(self.wrong), compared=self.compared, excused=self.excused)

    def _may_end(self, tokens: NDArray[np.int32]) -> bool:
        """Whether an answer ends by an end token, its only one, or where it is finished, or at the limit."""
        asked, said = self.request, tokens.tolist()
        ends = [place for place, token in enumerate(said) if token in asked.end_tokens]
        if ends or not said or len(said) >= asked.max_new_tokens:
            return len(said) in range(1, asked.max_new_tokens + 1) and ends in ([], [len(said) - 1])
        return asked.finished is not None and asked.finished(tokens)

    def _outside(self, z: Matrix, row: int, slack: float) -> Matrix:
        """How far each draw is outside the chosen token's share of the cumulated probabilities; 0 within."""
        asked, rows = self.request, np.arange(len(z))
        if asked.draws is None or asked.sampling is None:
            raise ValueError("there are no draws")
        p, chosen = np.exp(log_softmax(z)), self.tokens.completion(row).astype(np.int64)
        share, open_ = 1.0, np.zeros(len(z), dtype=np.bool_)
        if asked.sampling.top_p < 1.0:
            share = asked.sampling.top_p
            p, open_ = _nucleus(p, asked.sampling.enough, ROOM * slack)
        edges = np.cumsum(p, axis=1)
        edges /= edges[:, -1:]
        lower = np.where(chosen > 0, edges[rows, np.maximum(chosen - 1, 0)], 0.0)
        draws = asked.draws[row, : len(z)]
        off = share * np.maximum(0.0, np.maximum(lower - draws, draws - edges[rows, chosen]))
        return np.where(open_ & (off > 0.0), np.minimum(off, ROOM * slack), off)


def _nucleus(p: Matrix, enough: float, room: float) -> tuple[Matrix, NDArray[np.bool_]]:
    """Probabilities outside the nucleus made 0; and the rows whose nucleus has its border where rounding decides."""
    order = np.argsort(-p, axis=1, kind="stable")
    ordered = np.take_along_axis(p, order, axis=1)
    before = np.cumsum(ordered, axis=1) - ordered
    kept = np.zeros_like(p)
    np.put_along_axis(kept, order, np.where(before < enough, ordered, 0.0), axis=1)
    return kept, np.abs(before - enough).min(axis=1) <= room


def log_softmax(z: Matrix) -> Matrix:
    """`z - log sum_j exp z_j`, row by row."""
    shifted = z - z.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
