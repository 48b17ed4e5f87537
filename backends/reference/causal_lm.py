"""Causal language models: a decoder with an output head."""

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
from .stack import ForwardPass, linear_weights, lowest_block, stack_backward, stack_forward


@attrs.frozen(eq=False)
class Tape:
    """Saved for the backward pass: the forward pass, the predicting rows, and the head's input at these rows."""

    stack: ForwardPass
    rows: Index
    H: Matrix


class CausalLM:
    """The architectures `causal-lm/…`; `config["hf"]` is the Hugging Face configuration.

    With tied embeddings the head has no weight of its own and cannot be adapted.
    """

    predicts_tokens = True

    def __init__(self, kind: str, config: Mapping[str, Any], sites: frozenset[str] | None) -> None:
        self._backbone, self._sites = Decoder(kind, config["hf"]), sites
        self._lowest = lowest_block(sites, self._backbone.layers)
        self._tied = bool(config["hf"].get("tie_word_embeddings", False))

    @property
    def parameters(self) -> frozenset[str]:
        """Names of the required weights."""
        return self._backbone.parameters | (frozenset() if self._tied else {"lm_head.weight"})

    @property
    def linears(self) -> frozenset[str]:
        """Names of the adaptable weights."""
        return linear_weights(self._backbone) | (frozenset() if self._tied else {"lm_head.weight"})

    def forward(
        self, weights: Mapping[str, Matrix], inputs: Tokens, deltas: Mapping[str, Delta]
    ) -> tuple[Matrix, Tape]:
        """Logits `(rows, vocabulary)`, one row per target token, and the tape."""
        linears = Linears(weights, deltas)
        stack = stack_forward(self._backbone, linears, inputs, self._lowest)
        rows = predicting_rows(inputs)
        H = self._backbone.final_norm(weights, stack.output[rows])
        logits = H @ weights[EMBEDDING].T if self._tied else linears.forward("lm_head", H)
        return logits, Tape(stack, rows, H)

    def backward(
        self, weights: Mapping[str, Matrix], tape: Tape, G: Matrix, deltas: Mapping[str, Delta]
    ) -> dict[str, tuple[Matrix, Matrix]]:
        """For every site the pair `(X, G)` of its input and output gradient; `dL/dW = G^T X`."""
        linears = Linears(weights, deltas, self._sites)
        dH = G @ weights[EMBEDDING] if self._tied else linears.backward("lm_head", tape.H, G)
        Z = tape.stack.output
        dX = np.zeros_like(Z)
        dX[tape.rows] = self._backbone.final_norm_backward(weights, Z[tape.rows], dH)  # rows are distinct
        stack_backward(self._backbone, linears, tape.stack, dX)
        return linears.pairs


def predicting_rows(tokens: Tokens) -> Index:
    """Indices `(rows,)` of the hidden states that predict the targets: the position before each target token."""
    ends = zip(tokens.offsets.tolist(), tokens.offsets[1:].tolist(), tokens.starts.tolist(), strict=False)
    rows = [np.arange(begin + start - 1, end - 1) for begin, end, start in ends]
    return np.concatenate(rows) if rows else np.empty(0, dtype=np.int64)
