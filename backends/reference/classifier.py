"""Text classifiers: an encoder or decoder backbone, pooling over tokens, a linear head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import attrs
import numpy as np

from ...engine.contracts import Tokens
from .arrays import Index, Matrix
from .decoder import Decoder
from .deltas import Delta
from .encoder_bert import Bert
from .encoder_esm import Esm
from .layers import Linears
from .settings import unsupported
from .stack import Backbone, ForwardPass, linear_weights, lowest_block, stack_backward, stack_forward

POOLINGS = ("mean", "cls", "last", "max")


@attrs.frozen(eq=False)
class Tape:
    """Saved for the backward pass: the forward pass, the hidden states, and one vector per sequence."""

    stack: ForwardPass
    H: Matrix
    pooled: Matrix


def backbone_of(kind: str, hf: Mapping[str, Any], find_table: Callable[[str], Matrix | None]) -> Backbone:
    """The backbone of a model type; `find_table` finds a stored table by the suffix of its name."""
    match kind:
        case "bert":
            return Bert(hf)
        case "esm":
            return Esm(hf, find_table("rotary_embeddings.inv_freq"))
        case _:
            return Decoder(kind, hf)


class Classifier:
    """The architectures `classifier/…`; `config` has `hf`, the Hugging Face configuration, and `pooling`."""

    predicts_tokens = False

    def __init__(
        self,
        kind: str,
        config: Mapping[str, Any],
        sites: frozenset[str] | None,
        find_table: Callable[[str], Matrix | None] = lambda _: None,
    ) -> None:
        self._backbone, self._sites = backbone_of(kind, config["hf"], find_table), sites
        self._lowest = lowest_block(sites, self._backbone.layers)
        self._pooling: str = config["pooling"]
        if self._pooling not in POOLINGS:
            raise unsupported("pooling", self._pooling, POOLINGS)

    @property
    def parameters(self) -> frozenset[str]:
        """Names of the required weights."""
        return self._backbone.parameters | {"head.weight", "head.bias"}

    @property
    def linears(self) -> frozenset[str]:
        """Names of the adaptable weights."""
        return linear_weights(self._backbone) | {"head.weight"}

    def forward(
        self, weights: Mapping[str, Matrix], inputs: Tokens, deltas: Mapping[str, Delta]
    ) -> tuple[Matrix, Tape]:
        """Logits `(n, classes)` and the tape."""
        linears = Linears(weights, deltas)
        stack = stack_forward(self._backbone, linears, inputs, self._lowest)
        H = self._backbone.final_norm(weights, stack.output)
        pooled = pool(H, inputs.offsets, self._pooling)
        return linears.forward("head", pooled), Tape(stack, H, pooled)

    def backward(
        self, weights: Mapping[str, Matrix], tape: Tape, G: Matrix, deltas: Mapping[str, Delta]
    ) -> dict[str, tuple[Matrix, Matrix]]:
        """For every site the pair `(X, G)` of its input and output gradient; `dL/dW = G^T X`."""
        linears, stack = Linears(weights, deltas, self._sites), tape.stack
        d_pooled = linears.backward("head", tape.pooled, G)
        dH = pool_backward(tape.H, stack.layout.offsets, self._pooling, d_pooled)
        dX = self._backbone.final_norm_backward(weights, stack.output, dH)
        stack_backward(self._backbone, linears, stack, dX)
        return linears.pairs


def pool(H: Matrix, offsets: Index, how: str) -> Matrix:
    """`(n, d)` from `H (tokens, d)`: the mean or the maximum over a sequence, or its first (`cls`) or last token."""
    found = np.empty((len(offsets) - 1, H.shape[1]), dtype=H.dtype)
    for i, (begin, end) in enumerate(pairwise(offsets.tolist())):
        rows = H[begin:end]
        match how:
            case "mean":
                found[i] = rows.mean(axis=0)
            case "max":
                found[i] = rows.max(axis=0)
            case _:
                found[i] = rows[0 if how == "cls" else -1]
    return found


def pool_backward(H: Matrix, offsets: Index, how: str, G: Matrix) -> Matrix:
    """`dL/dH (tokens, d)`: `mean` spreads `G (n, d)` evenly, the others pass it to the selected token (the first, on a tie)."""
    dH = np.zeros_like(H)
    for i, (begin, end) in enumerate(pairwise(offsets.tolist())):
        match how:
            case "mean":
                dH[begin:end] = G[i] / (end - begin)
            case "max":
                dH[begin + np.argmax(H[begin:end], axis=0), np.arange(H.shape[1])] = G[i]
            case _:
                dH[begin if how == "cls" else end - 1] = G[i]
    return dH
