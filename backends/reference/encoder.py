"""Self-attention and feed-forward layers of BERT-style encoders, and their weight names."""

from __future__ import annotations

import math

import attrs
import numpy as np

from .activations import Activation
from .arrays import Matrix
from .attention import attention, attention_backward
from .layers import Linears
from .rotary import rotate, rotate_backward
from .stack import Layout

QKV = ("attention.self.query", "attention.self.key", "attention.self.value")
OUTPUT, UP, DOWN = "attention.output.dense", "intermediate.dense", "output.dense"
MODULES = (*QKV, OUTPUT, UP, DOWN)


@attrs.frozen(eq=False)
class AttentionCache:
    """Activations of self-attention, saved for its backward pass."""

    A: Matrix
    Q: Matrix
    K: Matrix
    V: Matrix
    O: Matrix  # noqa: E741 - the output of attention


def self_attention(
    linears: Linears, path: str, A: Matrix, heads: int, layout: Layout
) -> tuple[Matrix, AttentionCache]:
    """`dense(attention(query A, key A, value A))`, bidirectional, with rotary embeddings if the layout has them.

    ESM scales the queries before the rotation; since rotations are linear, scaling the scores is equivalent.
    """
    n, width = A.shape[0], linears.weights[f"{path}.{QKV[0]}.weight"].shape[0] // heads
    Q, K, V = (linears.forward(f"{path}.{name}", A).reshape(n, heads, width) for name in QKV)
    if layout.rotary is not None:
        Q, K = rotate(Q, *layout.rotary), rotate(K, *layout.rotary)
    O = attention(Q, K, V, layout.offsets, causal=False, scale=1.0 / math.sqrt(width))  # noqa: E741
    flat = O.reshape(n, heads * width)
    return linears.forward(f"{path}.{OUTPUT}", flat), AttentionCache(A, Q, K, V, flat)


def self_attention_backward(
    linears: Linears, path: str, cache: AttentionCache, G: Matrix, layout: Layout
) -> Matrix:
    """`dL/dA`: the sum of the gradients through queries, keys and values."""
    dO = linears.backward(f"{path}.{OUTPUT}", cache.O, G).reshape(cache.Q.shape)
    scale = 1.0 / math.sqrt(cache.Q.shape[2])
    dQ, dK, dV = attention_backward(cache.Q, cache.K, cache.V, layout.offsets, dO, causal=False, scale=scale)
    if layout.rotary is not None:
        dQ, dK = rotate_backward(dQ, *layout.rotary), rotate_backward(dK, *layout.rotary)
    dA = np.zeros_like(cache.A)
    for name, dX in zip(QKV, (dQ, dK, dV), strict=True):
        dA = dA + linears.backward(f"{path}.{name}", cache.A, dX.reshape(len(G), -1))
    return dA


@attrs.frozen(eq=False)
class FeedForwardCache:
    """Activations of the feed-forward layer, saved for its backward pass."""

    A: Matrix
    Z: Matrix


def feed_forward(linears: Linears, path: str, A: Matrix, f: Activation) -> tuple[Matrix, FeedForwardCache]:
    """`down f(Z)` with `Z = up A`."""
    Z = linears.forward(f"{path}.{UP}", A)
    return linears.forward(f"{path}.{DOWN}", f[0](Z)), FeedForwardCache(A, Z)


def feed_forward_backward(
    linears: Linears, path: str, cache: FeedForwardCache, G: Matrix, f: Activation
) -> Matrix:
    """`dL/dA = up^T dZ` with `dZ = (down^T G) * f'(Z)`."""
    dZ = linears.backward(f"{path}.{DOWN}", f[0](cache.Z), G) * f[1](cache.Z)
    return linears.backward(f"{path}.{UP}", cache.A, dZ)


def encoder_parameters(layers: int, norms: tuple[str, ...]) -> frozenset[str]:
    """Names of the weights of all blocks: linear layers and `norms`, each with a bias."""
    return frozenset(
        f"model.encoder.layer.{layer}.{module}.{kind}"
        for layer in range(layers)
        for module in (*MODULES, *norms)
        for kind in ("weight", "bias")
    )
