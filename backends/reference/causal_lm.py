"""Causal language models: a decoder whose head says what comes next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np

from ...engine.contracts import Tokens
from .arrays import Index, Matrix
from .decoder import EMBEDDING, Decoder
from .deltas import Delta
from .layers import Linears
from .stack import StackPass, climb, descend, linear_weights, lowest_block


@attrs.frozen(eq=False)
class Tape:
    """What the backward pass needs: the way up, the rows that predict, and what the head saw of them."""

    way: StackPass
    rows: Index
    H: Matrix


class CausalLM:
    """The architectures `causal-lm/…`: `config["hf"]` is the Hugging Face configuration.

    Where embeddings are tied, the head has no weight of its own, and cannot be adapted.
    """

    completes = True

    def __init__(self, kind: str, config: Mapping[str, Any], sites: frozenset[str] | None) -> None:
        self._body, self._sites = Decoder(kind, config["hf"]), sites
        self._lowest = lowest_block(sites, self._body.layers)
        self._tied = bool(config["hf"].get("tie_word_embeddings", False))

    @property
    def parameters(self) -> frozenset[str]:
        """The weights it needs."""
        return self._body.parameters | (frozenset() if self._tied else {"lm_head.weight"})

    @property
    def linears(self) -> frozenset[str]:
        """The weights that may be adapted."""
        return linear_weights(self._body) | (frozenset() if self._tied else {"lm_head.weight"})

    def forward(
        self, weights: Mapping[str, Matrix], inputs: Tokens, deltas: Mapping[str, Delta]
    ) -> tuple[Matrix, Tape]:
        """Logits `(rows, vocabulary)`, a row for every token to be predicted, and the tape."""
        linears = Linears(weights, deltas)
        way = climb(self._body, linears, inputs, self._lowest)
        rows = predicting_rows(inputs)
        H = self._body.finish(weights, way.top[rows])
        return (H @ weights[EMBEDDING].T if self._tied else linears.forward("lm_head", H)), Tape(way, rows, H)

    def backward(
        self, weights: Mapping[str, Matrix], tape: Tape, G: Matrix, deltas: Mapping[str, Delta]
    ) -> dict[str, tuple[Matrix, Matrix]]:
        """For every site the pair `(X, G)` of its input and its output's gradient; `dL/dW = G^T X`."""
        linears = Linears(weights, deltas, self._sites)
        dH = G @ weights[EMBEDDING] if self._tied else linears.backward("lm_head", tape.H, G)
        top = tape.way.top
        dX = np.zeros_like(top)
        dX[tape.rows] = self._body.finish_backward(weights, top[tape.rows], dH)  # no row predicts two tokens
        descend(self._body, linears, tape.way, dX)
        return linears.pairs


def predicting_rows(tokens: Tokens) -> Index:
    """Rows of the hidden states that predict a token to be predicted: each the row before that token's `(rows,)`."""
    ends = zip(tokens.offsets.tolist(), tokens.offsets[1:].tolist(), tokens.starts.tolist(), strict=False)
    rows = [np.arange(begin + start - 1, end - 1) for begin, end, start in ends]
    return np.concatenate(rows) if rows else np.empty(0, dtype=np.int64)
