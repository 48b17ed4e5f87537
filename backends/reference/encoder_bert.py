"""BERT: word, position and token-type vectors, norms after every sum (Devlin et al., 2019).

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
    MODULES,
    NARROW,
    OUTWARD,
    Attended,
    EncoderPass,
    encoder_parameters,
    feed_forward,
    feed_forward_backward,
    self_attention,
    self_attention_backward,
)
from .layers import Linears, layer_norm, layer_norm_backward, look_up
from .settings import activation, refuse, require, size_of_heads
from .stack import Layout, positions

EMBEDDINGS = "model.embeddings"
TABLES = ("word_embeddings", "position_embeddings", "token_type_embeddings")
AFTER_ATTENTION, AFTER_FEED_FORWARD = (
    f"{module.removesuffix('dense')}LayerNorm" for module in (OUTWARD, NARROW)
)


@attrs.frozen(eq=False)
class Seen:
    """What the backward pass of a block needs: the two sums before their norms, and what lies between."""

    attended: Attended
    after_attention: Matrix
    fed: EncoderPass
    after_feed_forward: Matrix


class Bert:
    """The body of `bert`; `hf` is the Hugging Face configuration."""

    modules = MODULES

    def __init__(self, hf: Mapping[str, Any]) -> None:
        require(hf, "position_embedding_type", ("absolute",), "absolute")
        require(hf, "is_decoder", (False, None), default=False)
        require(hf, "add_cross_attention", (False, None), default=False)
        self.layers: int = hf["num_hidden_layers"]
        self._f = activation(hf, "gelu")
        self._eps: float = hf.get("layer_norm_eps", 1e-12)
        self._heads: int = hf["num_attention_heads"]
        if size_of_heads(hf) * self._heads != hf["hidden_size"]:
            raise refuse("head_dim", hf["head_dim"], [hf["hidden_size"] // self._heads])

    @property
    def parameters(self) -> frozenset[str]:
        """The weights it needs."""
        embeddings = {f"{EMBEDDINGS}.{table}.weight" for table in TABLES}
        embeddings |= {f"{EMBEDDINGS}.LayerNorm.{kind}" for kind in ("weight", "bias")}
        return encoder_parameters(self.layers, (AFTER_ATTENTION, AFTER_FEED_FORWARD)) | embeddings

    def block_path(self, layer: int) -> str:
        """Path of a block."""
        return f"model.encoder.layer.{layer}"

    def place(self, tokens: Tokens, dtype: np.dtype[Any]) -> Layout:
        """Positions are in the embeddings."""
        del dtype
        return Layout(tokens.offsets)

    def embed(self, weights: Mapping[str, Matrix], tokens: Tokens) -> Matrix:
        """`norm(word + type + position)`; a text without a pair is of type 0 throughout."""
        word, position, kind = (weights[f"{EMBEDDINGS}.{table}.weight"] for table in TABLES)
        types = np.zeros_like(tokens.ids) if tokens.types is None else tokens.types
        X = look_up(word, tokens.ids, "token") + look_up(kind, types, "token type")
        X = X + look_up(position, positions(tokens), "position")
        return self._norm(weights, f"{EMBEDDINGS}.LayerNorm", X)

    def block(self, linears: Linears, layer: int, X: Matrix, layout: Layout) -> tuple[Matrix, Seen]:
        """`Y = norm(X + attention(X))`, then `norm(Y + feed_forward(Y))`."""
        path, w = self.block_path(layer), linears.weights
        A, attended = self_attention(linears, path, X, self._heads, layout)
        Y = self._norm(w, f"{path}.{AFTER_ATTENTION}", X + A)
        F, fed = feed_forward(linears, path, Y, self._f)
        return self._norm(w, f"{path}.{AFTER_FEED_FORWARD}", Y + F), Seen(attended, X + A, fed, Y + F)

    def block_backward(self, linears: Linears, layer: int, seen: Seen, G: Matrix, layout: Layout) -> Matrix:
        """Through the second norm to both terms of its sum, then through the first."""
        path, w = self.block_path(layer), linears.weights
        G = self._norm_backward(w, f"{path}.{AFTER_FEED_FORWARD}", seen.after_feed_forward, G)
        G = G + feed_forward_backward(linears, path, seen.fed, G, self._f)
        G = self._norm_backward(w, f"{path}.{AFTER_ATTENTION}", seen.after_attention, G)
        return G + self_attention_backward(linears, path, seen.attended, G, layout)

    def finish(self, weights: Mapping[str, Matrix], X: Matrix) -> Matrix:
        """Nothing follows the last block."""
        del weights
        return X

    def finish_backward(self, weights: Mapping[str, Matrix], X: Matrix, G: Matrix) -> Matrix:
        """Nothing to go back through."""
        del weights, X
        return G

    def _norm(self, weights: Mapping[str, Matrix], module: str, X: Matrix) -> Matrix:
        return layer_norm(X, weights[f"{module}.weight"], weights[f"{module}.bias"], self._eps)

    def _norm_backward(self, weights: Mapping[str, Matrix], module: str, X: Matrix, G: Matrix) -> Matrix:
        return layer_norm_backward(X, weights[f"{module}.weight"], self._eps, G)
