"""BERT: word, position and token-type embeddings, post-norm blocks (Devlin et al., 2019).

A block is `Y = norm(X + attention(X))`, then `norm(Y + feed_forward(Y))`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np

from ...engine.contracts import Tokens
from .arrays import Matrix
from .encoder import (
    DOWN,
    MODULES,
    OUTPUT,
    AttentionCache,
    FeedForwardCache,
    encoder_parameters,
    feed_forward,
    feed_forward_backward,
    self_attention,
    self_attention_backward,
)
from .layers import Linears, layer_norm, layer_norm_backward, lookup
from .settings import activation, head_width, require, unsupported
from .stack import Layout, positions

EMBEDDINGS = "model.embeddings"
TABLES = ("word_embeddings", "position_embeddings", "token_type_embeddings")
ATTENTION_NORM, FEED_FORWARD_NORM = (f"{module.removesuffix('dense')}LayerNorm" for module in (OUTPUT, DOWN))


@attrs.frozen(eq=False)
class BlockCache:
    """Activations of a block, saved for its backward pass; the two sums are inputs of the norms."""

    attention: AttentionCache
    attention_sum: Matrix
    feed_forward: FeedForwardCache
    feed_forward_sum: Matrix


class Bert:
    """The backbone of `bert`; `hf` is the Hugging Face configuration."""

    modules = MODULES

    def __init__(self, hf: Mapping[str, Any]) -> None:
        require(hf, "position_embedding_type", ("absolute",), "absolute")
        require(hf, "is_decoder", (False, None), default=False)
        require(hf, "add_cross_attention", (False, None), default=False)
        self.layers: int = hf["num_hidden_layers"]
        self._f = activation(hf, "gelu")
        self._eps: float = hf.get("layer_norm_eps", 1e-12)
        self._heads: int = hf["num_attention_heads"]
        if head_width(hf) * self._heads != hf["hidden_size"]:
            raise unsupported("head_dim", hf["head_dim"], [hf["hidden_size"] // self._heads])

    @property
    def parameters(self) -> frozenset[str]:
        """Names of the required weights."""
        embeddings = {f"{EMBEDDINGS}.{table}.weight" for table in TABLES}
        embeddings |= {f"{EMBEDDINGS}.LayerNorm.{kind}" for kind in ("weight", "bias")}
        return encoder_parameters(self.layers, (ATTENTION_NORM, FEED_FORWARD_NORM)) | embeddings

    def block_path(self, layer: int) -> str:
        """Path of a block."""
        return f"model.encoder.layer.{layer}"

    def layout(self, tokens: Tokens, dtype: np.dtype[Any]) -> Layout:
        """Offsets only; positions are in the embeddings."""
        del dtype
        return Layout(tokens.offsets)

    def embed(self, weights: Mapping[str, Matrix], tokens: Tokens) -> Matrix:
        """`norm(word + type + position)`; without `types`, all tokens are of type 0."""
        word, position, kind = (weights[f"{EMBEDDINGS}.{table}.weight"] for table in TABLES)
        types = np.zeros_like(tokens.ids) if tokens.types is None else tokens.types
        X = lookup(word, tokens.ids, "token") + lookup(kind, types, "token type")
        X = X + lookup(position, positions(tokens), "position")
        return self._norm(weights, f"{EMBEDDINGS}.LayerNorm", X)

    def block(self, linears: Linears, layer: int, X: Matrix, layout: Layout) -> tuple[Matrix, BlockCache]:
        """`Y = norm(X + attention(X))`, then `norm(Y + feed_forward(Y))`."""
        path, w = self.block_path(layer), linears.weights
        A, attention = self_attention(linears, path, X, self._heads, layout)
        Y = self._norm(w, f"{path}.{ATTENTION_NORM}", X + A)
        F, hidden = feed_forward(linears, path, Y, self._f)
        return self._norm(w, f"{path}.{FEED_FORWARD_NORM}", Y + F), BlockCache(
            attention, X + A, hidden, Y + F
        )

    def block_backward(
        self, linears: Linears, layer: int, cache: BlockCache, G: Matrix, layout: Layout
    ) -> Matrix:
        """`dL/dX`: back through the feed-forward norm and sum, then through those of attention."""
        path, w = self.block_path(layer), linears.weights
        G = self._norm_backward(w, f"{path}.{FEED_FORWARD_NORM}", cache.feed_forward_sum, G)
        G = G + feed_forward_backward(linears, path, cache.feed_forward, G, self._f)
        G = self._norm_backward(w, f"{path}.{ATTENTION_NORM}", cache.attention_sum, G)
        return G + self_attention_backward(linears, path, cache.attention, G, layout)

    def final_norm(self, weights: Mapping[str, Matrix], X: Matrix) -> Matrix:
        """The identity: BERT has no final norm."""
        del weights
        return X

    def final_norm_backward(self, weights: Mapping[str, Matrix], X: Matrix, G: Matrix) -> Matrix:
        """The identity."""
        del weights, X
        return G

    def _norm(self, weights: Mapping[str, Matrix], module: str, X: Matrix) -> Matrix:
        return layer_norm(X, weights[f"{module}.weight"], weights[f"{module}.bias"], self._eps)

    def _norm_backward(self, weights: Mapping[str, Matrix], module: str, X: Matrix, G: Matrix) -> Matrix:
        return layer_norm_backward(X, weights[f"{module}.weight"], self._eps, G)
