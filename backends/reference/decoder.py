"""Decoders of the Llama family: RMS norms, rotary positions, grouped queries, a gated feed-forward layer.

A block is `Y = X + o(attention(turn(q A), turn(k A), v A))` with `A = norm(X)`, then `Y + down(f(gate M) * up M)` with
`M = norm(Y)` (Touvron et al., 2023). Qwen2 is the same with biases on q, k and v.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np

from ...engine.contracts import Tokens
from .arrays import Matrix
from .attention import attention, attention_backward
from .layers import Linears, look_up, rms_norm, rms_norm_backward
from .rotary import angles, frequencies, rotate, rotate_backward
from .settings import activation, refuse, size_of_heads
from .stack import Layout, positions

EMBEDDING, NORM = "model.embed_tokens.weight", "model.norm.weight"
ATTENTION = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
FEED_FORWARD = ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
NORMS = ("input_layernorm", "post_attention_layernorm")


@attrs.frozen(eq=False)
class Seen:
    """What the backward pass of a block needs."""

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
    """The body of `llama` and `qwen2`; `hf` is the Hugging Face configuration."""

    modules = (*ATTENTION, *FEED_FORWARD)

    def __init__(self, kind: str, hf: Mapping[str, Any]) -> None:
        self._refuse_windows(hf)
        self.layers: int = hf["num_hidden_layers"]
        self._f, self._slope = activation(hf, "silu")
        self._eps: float = hf.get("rms_norm_eps", 1e-6)
        self._head = size_of_heads(hf)
        self._heads: int = hf["num_attention_heads"]
        self._shared: int = hf.get("num_key_value_heads") or self._heads
        if self._heads % self._shared:
            raise refuse("num_key_value_heads", self._shared, [f"divisors of {self._heads} heads"])
        self._frequencies = frequencies(hf, self._head)
        if kind == "qwen2":
            self._biased = set(ATTENTION[:3])
        else:
            self._biased = {*(ATTENTION if hf.get("attention_bias") else ())}
            self._biased |= {*(FEED_FORWARD if hf.get("mlp_bias") else ())}

    @staticmethod
    def _refuse_windows(hf: Mapping[str, Any]) -> None:
        """A sliding window changes nothing for sequences that fit into it; any other is not implemented."""
        layers, window = hf["num_hidden_layers"], hf.get("sliding_window")
        default = ["full_attention"] * layers
        if hf.get("use_sliding_window") and window is not None:
            default = ["sliding_attention"] * max(0, layers - hf.get("max_window_layers", 0))
        kinds: list[str] = (hf.get("layer_types") or default)[:layers]
        if other := set(kinds) - {"full_attention", "sliding_attention"}:
            raise refuse("layer_types", sorted(other), ["full_attention"])
        longest = hf.get("max_position_embeddings")
        if "sliding_attention" in kinds and window and (longest is None or window < longest):
            raise refuse(
                "sliding_window",
                window,
                [f"windows of at least {longest} tokens, as max_position_embeddings"],
            )

    @property
    def parameters(self) -> frozenset[str]:
        """The weights it needs."""
        blocks = [self.block_path(layer) for layer in range(self.layers)]
        biases = {f"{path}.{module}.bias" for path in blocks for module in self._biased}
        weights = {f"{path}.{module}.weight" for path in blocks for module in (*self.modules, *NORMS)}
        return frozenset({EMBEDDING, NORM} | weights | biases)

    def block_path(self, layer: int) -> str:
        """Path of a block."""
        return f"model.layers.{layer}"

    def place(self, tokens: Tokens, dtype: np.dtype[Any]) -> Layout:
        """Positions count from 0 in every sequence."""
        return Layout(tokens.offsets, angles(positions(tokens), self._frequencies, dtype))

    def embed(self, weights: Mapping[str, Matrix], tokens: Tokens) -> Matrix:
        """The tokens' vectors."""
        return look_up(weights[EMBEDDING], tokens.ids, "token")

    def block(self, linears: Linears, layer: int, X: Matrix, layout: Layout) -> tuple[Matrix, Seen]:
        """`Y = X + o(attention(...))`, then `Y + down(f(gate M) * up M)`."""
        path, w = self.block_path(layer), linears.weights
        A = rms_norm(X, w[f"{path}.{NORMS[0]}.weight"], self._eps)
        Q, K, V = (
            linears.forward(f"{path}.{name}", A).reshape(len(A), heads, self._head)
            for name, heads in zip(ATTENTION[:3], (self._heads, self._shared, self._shared), strict=True)
        )
        if layout.turn is not None:
            Q, K = rotate(Q, *layout.turn), rotate(K, *layout.turn)
        O = attention(Q, K, V, layout.offsets, causal=True, scale=self._head**-0.5)  # noqa: E741 - the output
        O = O.reshape(len(A), self._heads * self._head)  # noqa: E741
        Y = X + linears.forward(f"{path}.{ATTENTION[3]}", O)
        M = rms_norm(Y, w[f"{path}.{NORMS[1]}.weight"], self._eps)
        gate, up = (linears.forward(f"{path}.{name}", M) for name in FEED_FORWARD[:2])
        Z = Y + linears.forward(f"{path}.{FEED_FORWARD[2]}", self._f(gate) * up)
        return Z, Seen(X, A, Q, K, V, O, Y, M, gate, up)

    def block_backward(self, linears: Linears, layer: int, seen: Seen, G: Matrix, layout: Layout) -> Matrix:
        """The same way back: every sum passes `G` to both of its terms, every product to each factor times the other."""
        path, w = self.block_path(layer), linears.weights
        active = self._f(seen.gate)
        dD = linears.backward(f"{path}.{FEED_FORWARD[2]}", active * seen.up, G)
        dM = linears.backward(f"{path}.{FEED_FORWARD[1]}", seen.M, dD * active)
        dM = dM + linears.backward(f"{path}.{FEED_FORWARD[0]}", seen.M, dD * seen.up * self._slope(seen.gate))
        dY = G + rms_norm_backward(seen.Y, w[f"{path}.{NORMS[1]}.weight"], self._eps, dM)
        dO = linears.backward(f"{path}.{ATTENTION[3]}", seen.O, dY).reshape(seen.Q.shape)
        dQ, dK, dV = attention_backward(
            seen.Q, seen.K, seen.V, layout.offsets, dO, causal=True, scale=self._head**-0.5
        )
        if layout.turn is not None:
            dQ, dK = rotate_backward(dQ, *layout.turn), rotate_backward(dK, *layout.turn)
        dA = np.zeros_like(seen.A)
        for name, dX in zip(ATTENTION[:3], (dQ, dK, dV), strict=True):
            dA = dA + linears.backward(f"{path}.{name}", seen.A, dX.reshape(len(G), -1))
        return dY + rms_norm_backward(seen.X, w[f"{path}.{NORMS[0]}.weight"], self._eps, dA)

    def finish(self, weights: Mapping[str, Matrix], X: Matrix) -> Matrix:
        """The last norm."""
        return rms_norm(X, weights[NORM], self._eps)

    def finish_backward(self, weights: Mapping[str, Matrix], X: Matrix, G: Matrix) -> Matrix:
        """Its gradient."""
        return rms_norm_backward(X, weights[NORM], self._eps, G)
