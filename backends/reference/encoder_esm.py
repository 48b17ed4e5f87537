"""ESM-2, the protein encoder: norms before every half of a block, rotary positions (Lin et al., 2023).

A block is `Y = X + attention(norm(X))`, then `Y + feed_forward(norm(Y))`; a last norm follows the last block. The older ESM-1b
has learned positions instead, and a norm after the embeddings.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import attrs
import numpy as np

from ...engine.contracts import Tokens
from .activations import ACTIVATIONS
from .arrays import Index, Matrix
from .encoder import (
    MODULES,
    Attended,
    EncoderPass,
    encoder_parameters,
    feed_forward,
    feed_forward_backward,
    self_attention,
    self_attention_backward,
)
from .layers import Linears, layer_norm, layer_norm_backward, look_up
from .rotary import angles, frequencies
from .settings import refuse, require, size_of_heads
from .stack import Layout, positions

WORDS, PLACES = "model.embeddings.word_embeddings.weight", "model.embeddings.position_embeddings.weight"
FIRST, LAST = "model.embeddings.layer_norm", "model.encoder.emb_layer_norm_after"
BEFORE_ATTENTION, BEFORE_FEED_FORWARD = "attention.LayerNorm", "LayerNorm"
MASKED_IN_TRAINING = 0.15 * 0.8
"""Share of tokens that were masks when ESM was trained: 15 % were chosen, and 80 % of these became masks."""


@attrs.frozen(eq=False)
class Seen:
    """What the backward pass of a block needs."""

    X: Matrix
    attended: Attended
    Y: Matrix
    fed: EncoderPass


class Esm:
    """The body of `esm`; `hf` is the Hugging Face configuration.

    `table` are the rotary frequencies that the checkpoint holds: rounded as they were in training, they are part of the model.
    """

    modules = MODULES

    def __init__(self, hf: Mapping[str, Any], table: Matrix | None = None) -> None:
        kind = require(hf, "position_embedding_type", ("rotary", "absolute"), "absolute")
        require(hf, "is_decoder", (False, None), default=False)
        require(hf, "add_cross_attention", (False, None), default=False)
        require(hf, "hidden_act", ("gelu",), "gelu")
        self.layers: int = hf["num_hidden_layers"]
        self._f = ACTIVATIONS["gelu"]
        self._eps: float = hf.get("layer_norm_eps", 1e-12)
        self._heads: int = hf["num_attention_heads"]
        head = size_of_heads(hf)
        if head * self._heads != hf["hidden_size"]:
            raise refuse("head_dim", hf["head_dim"], [hf["hidden_size"] // self._heads])
        rotary = frequencies(hf, head) if table is None else table
        self._frequencies = rotary if kind == "rotary" else None
        self._padding = hf.get("pad_token_id")
        if kind == "absolute" and self._padding is None:
            raise refuse("pad_token_id", None, ["a number, from which absolute positions count"])
        self._mask = hf.get("mask_token_id")
        self._rescales = bool(hf.get("token_dropout"))
        if self._rescales and self._mask is None:
            raise refuse("mask_token_id", None, ["a number, where token_dropout is true"])
        self._first_norm = bool(hf.get("emb_layer_norm_before"))

    @property
    def parameters(self) -> frozenset[str]:
        """The weights it needs."""
        norms = (FIRST, LAST) if self._first_norm else (LAST,)
        outside = {f"{norm}.{kind}" for norm in norms for kind in ("weight", "bias")} | {WORDS}
        outside |= set() if self._frequencies is not None else {PLACES}
        return encoder_parameters(self.layers, (BEFORE_ATTENTION, BEFORE_FEED_FORWARD)) | outside

    def block_path(self, layer: int) -> str:
        """Path of a block."""
        return f"model.encoder.layer.{layer}"

    def place(self, tokens: Tokens, dtype: np.dtype[Any]) -> Layout:
        """Rotary positions count from 0; learned ones are in the embeddings."""
        if self._frequencies is None:
            return Layout(tokens.offsets)
        return Layout(tokens.offsets, angles(positions(tokens), self._frequencies, dtype))

    def embed(self, weights: Mapping[str, Matrix], tokens: Tokens) -> Matrix:
        """Words, rescaled where `token_dropout` says so, plus learned positions, normed: each where the model has it."""
        X = look_up(weights[WORDS], tokens.ids, "token")
        if self._rescales:
            X = self._rescaled(X, tokens)
        if self._frequencies is None:
            X = X + look_up(weights[PLACES], self._learned_positions(tokens), "position")
        return self._norm(weights, FIRST, X) if self._first_norm else X

    def _rescaled(self, X: Matrix, tokens: Tokens) -> Matrix:
        """Masks become zero, the rest is scaled by `(1 - 0.12) / (1 - share of masks in the sequence)`.

        The model was trained with masked tokens zeroed, and their share made up for; so it expects the factor 0.88 where
        nothing is masked, in evaluation too.
        """
        masked = tokens.ids == self._mask
        shares = [masked[begin:end].mean() for begin, end in pairwise(tokens.offsets.tolist())]
        with np.errstate(divide="ignore"):  # nothing but masks: 0 * inf, which is found to be not finite
            factors = (1.0 - MASKED_IN_TRAINING) / (1.0 - np.array(shares, dtype=X.dtype))
        kept = np.where(masked[:, None], np.zeros_like(X), X)
        return kept * np.repeat(factors, tokens.lengths)[:, None]

    def _learned_positions(self, tokens: Tokens) -> Index:
        """Real tokens count from `pad + 1`; a token that is the padding stays at `pad`."""
        real = (tokens.ids != self._padding).astype(np.int64)
        counts = [np.cumsum(real[begin:end]) for begin, end in pairwise(tokens.offsets.tolist())]
        count = np.concatenate(counts) if counts else np.empty(0, dtype=np.int64)
        return count * real + self._padding

    def block(self, linears: Linears, layer: int, X: Matrix, layout: Layout) -> tuple[Matrix, Seen]:
        """`Y = X + attention(norm(X))`, then `Y + feed_forward(norm(Y))`."""
        path, w = self.block_path(layer), linears.weights
        A = self._norm(w, f"{path}.{BEFORE_ATTENTION}", X)
        out, attended = self_attention(linears, path, A, self._heads, layout)
        Y = X + out
        M = self._norm(w, f"{path}.{BEFORE_FEED_FORWARD}", Y)
        F, fed = feed_forward(linears, path, M, self._f)
        return Y + F, Seen(X, attended, Y, fed)

    def block_backward(self, linears: Linears, layer: int, seen: Seen, G: Matrix, layout: Layout) -> Matrix:
        """Each half adds what comes back through its norm."""
        path, w = self.block_path(layer), linears.weights
        dM = feed_forward_backward(linears, path, seen.fed, G, self._f)
        G = G + self._norm_backward(w, f"{path}.{BEFORE_FEED_FORWARD}", seen.Y, dM)
        dA = self_attention_backward(linears, path, seen.attended, G, layout)
        return G + self._norm_backward(w, f"{path}.{BEFORE_ATTENTION}", seen.X, dA)

    def finish(self, weights: Mapping[str, Matrix], X: Matrix) -> Matrix:
        """The last norm."""
        return self._norm(weights, LAST, X)

    def finish_backward(self, weights: Mapping[str, Matrix], X: Matrix, G: Matrix) -> Matrix:
        """Its gradient."""
        return self._norm_backward(weights, LAST, X, G)

    def _norm(self, weights: Mapping[str, Matrix], module: str, X: Matrix) -> Matrix:
        return layer_norm(X, weights[f"{module}.weight"], weights[f"{module}.bias"], self._eps)

    def _norm_backward(self, weights: Mapping[str, Matrix], module: str, X: Matrix, G: Matrix) -> Matrix:
        return layer_norm_backward(X, weights[f"{module}.weight"], self._eps, G)
