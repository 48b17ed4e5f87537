"""Decoders of the Llama family: RMS norm, rotary embeddings, grouped-query attention, a gated MLP.

A block is `Y = X + o(attention(rotate(q A), rotate(k A), v A))` with `A = norm(X)`, then `Y + down(f(gate M) * up M)` with
`M = norm(Y)` (Touvron et al., 2023). Qwen2 adds biases to q, k and v.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np

from ...engine.contracts import Tokens
from .arrays import Matrix
from .attention import attention, attention_backward
from .layers import Linears, lookup, rms_norm, rms_norm_backward
from .rotary import angles, frequencies, rotate, rotate_backward
from .settings import activation, head_width, unsupported
from .stack import Layout, positions

EMBEDDING, NORM = "model.embed_tokens.weight", "model.norm.weight"
ATTENTION = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
FEED_FORWARD = ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
NORMS = ("input_layernorm", "post_attention_layernorm")


@attrs.frozen(eq=False)
class BlockCache:
    """Activations of a block, saved for its backward pass."""

    X: Matrix
    A: Matrix
    Q: Matrix
    K: Matrix
    V: Matrix
    O: Matrix  # noqa: E741 - the output of attention
    Y: Matrix
    M: Matrix
    gate: Matrix
    up: Matrix


class Decoder:
    """The backbone of `llama` and `qwen2`; `hf` is the Hugging Face configuration."""

    modules = (*ATTENTION, *FEED_FORWARD)

    def __init__(self, kind: str, hf: Mapping[str, Any]) -> None:
        self._refuse_windows(hf)
        self.layers: int = hf["num_hidden_layers"]
        self._f, self._slope = activation(hf, "silu")
        self._eps: float = hf.get("rms_norm_eps", 1e-6)
        self._head = head_width(hf)
        self._heads: int = hf["num_attention_heads"]
        self._shared: int = hf.get("num_key_value_heads") or self._heads
        if self._heads % self._shared:
            raise unsupported("num_key_value_heads", self._shared, [f"divisors of {self._heads} heads"])
        self._frequencies = frequencies(hf, self._head)
        if kind == "qwen2":
            self._biased = set(ATTENTION[:3])
        else:
            self._biased = {*(ATTENTION if hf.get("attention_bias") else ())}
            self._biased |= {*(FEED_FORWARD if hf.get("mlp_bias") else ())}

    @staticmethod
    def _refuse_windows(hf: Mapping[str, Any]) -> None:
        """Raise `UsageError` for a sliding window shorter than the context; a longer one has no effect."""
        layers, window = hf["num_hidden_layers"], hf.get("sliding_window")
        default = ["full_attention"] * layers
        if hf.get("use_sliding_window") and window is not None:
            default = ["sliding_attention"] * max(0, layers - hf.get("max_window_layers", 0))
        kinds: list[str] = (hf.get("layer_types") or default)[:layers]
        if other := set(kinds) - {"full_attention", "sliding_attention"}:
            raise unsupported("layer_types", sorted(other), ["full_attention"])
        longest = hf.get("max_position_embeddings")
        if "sliding_attention" in kinds and window and (longest is None or window < longest):
            raise unsupported(
                "sliding_window",
                window,
                [f"windows of at least {longest} tokens, as max_position_embeddings"],
            )

    @property
    def parameters(self) -> frozenset[str]:
        """Names of the required weights."""
        blocks = [self.block_path(layer) for layer in range(self.layers)]
        biases = {f"{path}.{module}.bias" for path in blocks for module in self._biased}
        weights = {f"{path}.{module}.weight" for path in blocks for module in (*self.modules, *NORMS)}
        return frozenset({EMBEDDING, NORM} | weights | biases)

    def block_path(self, layer: int) -> str:
        """Path of a block."""
        return f"model.layers.{layer}"

    def layout(self, tokens: Tokens, dtype: np.dtype[Any]) -> Layout:
        """Offsets and rotary angles; positions start at 0 in every sequence."""
        return Layout(tokens.offsets, angles(positions(tokens), self._frequencies, dtype))

    def embed(self, weights: Mapping[str, Matrix], tokens: Tokens) -> Matrix:
        """Token embeddings `(tokens, d)`."""
        return lookup(weights[EMBEDDING], tokens.ids, "token")

    def block(self, linears: Linears, layer: int, X: Matrix, layout: Layout) -> tuple[Matrix, BlockCache]:
        """`Y = X + o(attention(...))`, then `Y + down(f(gate M) * up M)`."""
        path, w = self.block_path(layer), linears.weights
        A = rms_norm(X, w[f"{path}.{NORMS[0]}.weight"], self._eps)
        Q, K, V = (
            linears.forward(f"{path}.{name}", A).reshape(len(A), heads, self._head)
            for name, heads in zip(ATTENTION[:3], (self._heads, self._shared, self._shared), strict=True)
        )
        if layout.rotary is not None:
            Q, K = rotate(Q, *layout.rotary), rotate(K, *layout.rotary)
        O = attention(Q, K, V, layout.offsets, causal=True, scale=self._head**-0.5)  # noqa: E741 - the output
        O = O.reshape(len(A), self._heads * self._head)  # noqa: E741
        Y = X + linears.forward(f"{path}.{ATTENTION[3]}", O)
        M = rms_norm(Y, w[f"{path}.{NORMS[1]}.weight"], self._eps)
        gate, up = (linears.forward(f"{path}.{name}", M) for name in FEED_FORWARD[:2])
        Z = Y + linears.forward(f"{path}.{FEED_FORWARD[2]}", self._f(gate) * up)
        return Z, BlockCache(X, A, Q, K, V, O, Y, M, gate, up)

    def block_backward(
        self, linears: Linears, layer: int, cache: BlockCache, G: Matrix, layout: Layout
    ) -> Matrix:
        """`dL/dX` by the chain rule: residual sums pass `G` to both terms, the gate's product to each factor times the other."""
        path, w = self.block_path(layer), linears.weights
        active = self._f(cache.gate)
        dD = linears.backward(f"{path}.{FEED_FORWARD[2]}", active * cache.up, G)
        # `d(f(gate) up) = f(gate) d up + up f'(gate) d gate`.
        dM = linears.backward(f"{path}.{FEED_FORWARD[1]}", cache.M, dD * active)
        dM = dM + linears.backward(
            f"{path}.{FEED_FORWARD[0]}", cache.M, dD * cache.up * self._slope(cache.gate)
        )
        dY = G + rms_norm_backward(cache.Y, w[f"{path}.{NORMS[1]}.weight"], self._eps, dM)
        dO = linears.backward(f"{path}.{ATTENTION[3]}", cache.O, dY).reshape(cache.Q.shape)
        dQ, dK, dV = attention_backward(
            cache.Q, cache.K, cache.V, layout.offsets, dO, causal=True, scale=self._head**-0.5
        )
        if layout.rotary is not None:
            dQ, dK = rotate_backward(dQ, *layout.rotary), rotate_backward(dK, *layout.rotary)
        dA = np.zeros_like(cache.A)
        for name, dX in zip(ATTENTION[:3], (dQ, dK, dV), strict=True):
            dA = dA + linears.backward(f"{path}.{name}", cache.A, dX.reshape(len(G), -1))
        return dY + rms_norm_backward(cache.X, w[f"{path}.{NORMS[0]}.weight"], self._eps, dA)

    def final_norm(self, weights: Mapping[str, Matrix], X: Matrix) -> Matrix:
        """The final RMS norm."""
        return rms_norm(X, weights[NORM], self._eps)

    def final_norm_backward(self, weights: Mapping[str, Matrix], X: Matrix, G: Matrix) -> Matrix:
        """`dL/dX` of the final norm."""
        return rms_norm_backward(X, weights[NORM], self._eps, G)
