"""ESM-2, a protein encoder: pre-norm blocks, rotary embeddings (Lin et al., 2023).

A block is `Y = X + attention(norm(X))`, then `Y + feed_forward(norm(Y))`; a final norm follows the last block. The older ESM-1b
has learned position embeddings instead, and a norm after the embeddings.
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
    AttentionCache,
    FeedForwardCache,
    encoder_parameters,
    feed_forward,
    feed_forward_backward,
    self_attention,
    self_attention_backward,
)
from .layers import Linears, layer_norm, layer_norm_backward, lookup
from .rotary import angles, frequencies
from .settings import head_width, require, unsupported
from .stack import Layout, positions

WORD_EMBEDDINGS, POSITION_EMBEDDINGS = (
    "model.embeddings.word_embeddings.weight",
    "model.embeddings.position_embeddings.weight",
)
EMBEDDING_NORM, FINAL_NORM = "model.embeddings.layer_norm", "model.encoder.emb_layer_norm_after"
ATTENTION_NORM, FEED_FORWARD_NORM = "attention.LayerNorm", "LayerNorm"
MASKED_IN_TRAINING = 0.15 * 0.8
"""Mask ratio in ESM's pretraining: 15 % of the tokens were selected, and 80 % of these were masked."""


@attrs.frozen(eq=False)
class BlockCache:
    """Activations of a block, saved for its backward pass."""

    X: Matrix
    attention: AttentionCache
    Y: Matrix
    feed_forward: FeedForwardCache


class Esm:
    """The backbone of `esm`; `hf` is the Hugging Face configuration.

    `table` has the checkpoint's rotary frequencies `(head / 2,)`. They were rounded in training, and so are part of the model.
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
        head = head_width(hf)
        if head * self._heads != hf["hidden_size"]:
            raise unsupported("head_dim", hf["head_dim"], [hf["hidden_size"] // self._heads])
        rotary = frequencies(hf, head) if table is None else table
        self._frequencies = rotary if kind == "rotary" else None
        self._padding = hf.get("pad_token_id")
        if kind == "absolute" and self._padding is None:
            raise unsupported("pad_token_id", None, ["an integer, since absolute positions count from it"])
        self._mask = hf.get("mask_token_id")
        self._rescale = bool(hf.get("token_dropout"))
        if self._rescale and self._mask is None:
            raise unsupported("mask_token_id", None, ["an integer, since token_dropout is true"])
        self._first_norm = bool(hf.get("emb_layer_norm_before"))

    @property
    def parameters(self) -> frozenset[str]:
        """Names of the required weights."""
        norms = (EMBEDDING_NORM, FINAL_NORM) if self._first_norm else (FINAL_NORM,)
        outside = {f"{norm}.{kind}" for norm in norms for kind in ("weight", "bias")} | {WORD_EMBEDDINGS}
        outside |= set() if self._frequencies is not None else {POSITION_EMBEDDINGS}
        return encoder_parameters(self.layers, (ATTENTION_NORM, FEED_FORWARD_NORM)) | outside

    def block_path(self, layer: int) -> str:
        """Path of a block."""
        return f"model.encoder.layer.{layer}"

    def layout(self, tokens: Tokens, dtype: np.dtype[Any]) -> Layout:
        """Offsets and rotary angles, with positions from 0; learned positions are in the embeddings."""
        if self._frequencies is None:
            return Layout(tokens.offsets)
        return Layout(tokens.offsets, angles(positions(tokens), self._frequencies, dtype))

    def embed(self, weights: Mapping[str, Matrix], tokens: Tokens) -> Matrix:
        """Token embeddings, rescaled if `token_dropout`, plus learned positions and a norm if the model has them."""
        X = lookup(weights[WORD_EMBEDDINGS], tokens.ids, "token")
        if self._rescale:
            X = self._rescaled(X, tokens)
        if self._frequencies is None:
            X = X + lookup(weights[POSITION_EMBEDDINGS], self._learned_positions(tokens), "position")
        return self._norm(weights, EMBEDDING_NORM, X) if self._first_norm else X

    def _rescaled(self, X: Matrix, tokens: Tokens) -> Matrix:
        """Zero the mask tokens, and scale the others by `(1 - 0.12) / (1 - mask ratio of the sequence)`.

        ESM's pretraining zeroed masked tokens and compensated for their share, so the factor is 0.88 for a sequence without
        masks, in evaluation too.
        """
        masked = tokens.ids == self._mask
        shares = [masked[begin:end].mean() for begin, end in pairwise(tokens.offsets.tolist())]
        with np.errstate(divide="ignore"):  # only masks: 0 * inf is NaN, and the logits' check reports it
            factors = (1.0 - MASKED_IN_TRAINING) / (1.0 - np.array(shares, dtype=X.dtype))
        kept = np.where(masked[:, None], np.zeros_like(X), X)
        return kept * np.repeat(factors, tokens.lengths)[:, None]

    def _learned_positions(self, tokens: Tokens) -> Index:
        """Positions count real tokens from `pad + 1`; padding tokens have position `pad`."""
        real = (tokens.ids != self._padding).astype(np.int64)
        counts = [np.cumsum(real[begin:end]) for begin, end in pairwise(tokens.offsets.tolist())]
        count = np.concatenate(counts) if counts else np.empty(0, dtype=np.int64)
        # As in fairseq, on which the checkpoints rely: row `pad` of the table is the padding's own.
        return count * real + self._padding

    def block(self, linears: Linears, layer: int, X: Matrix, layout: Layout) -> tuple[Matrix, BlockCache]:
        """`Y = X + attention(norm(X))`, then `Y + feed_forward(norm(Y))`."""
        path, w = self.block_path(layer), linears.weights
        A = self._norm(w, f"{path}.{ATTENTION_NORM}", X)
        out, attention = self_attention(linears, path, A, self._heads, layout)
        Y = X + out
        M = self._norm(w, f"{path}.{FEED_FORWARD_NORM}", Y)
        F, hidden = feed_forward(linears, path, M, self._f)
        return Y + F, BlockCache(X, attention, Y, hidden)

    def block_backward(
        self, linears: Linears, layer: int, cache: BlockCache, G: Matrix, layout: Layout
    ) -> Matrix:
        """`dL/dX`: each residual branch adds its gradient through its norm."""
        path, w = self.block_path(layer), linears.weights
        dM = feed_forward_backward(linears, path, cache.feed_forward, G, self._f)
        G = G + self._norm_backward(w, f"{path}.{FEED_FORWARD_NORM}", cache.Y, dM)
        dA = self_attention_backward(linears, path, cache.attention, G, layout)
        return G + self._norm_backward(w, f"{path}.{ATTENTION_NORM}", cache.X, dA)

    def final_norm(self, weights: Mapping[str, Matrix], X: Matrix) -> Matrix:
        """The final layer norm."""
        return self._norm(weights, FINAL_NORM, X)

    def final_norm_backward(self, weights: Mapping[str, Matrix], X: Matrix, G: Matrix) -> Matrix:
        """`dL/dX` of the final norm."""
        return self._norm_backward(weights, FINAL_NORM, X, G)

    def _norm(self, weights: Mapping[str, Matrix], module: str, X: Matrix) -> Matrix:
        return layer_norm(X, weights[f"{module}.weight"], weights[f"{module}.bias"], self._eps)

    def _norm_backward(self, weights: Mapping[str, Matrix], module: str, X: Matrix, G: Matrix) -> Matrix:
        return layer_norm_backward(X, weights[f"{module}.weight"], self._eps, G)
