"""What the encoders of the BERT family share: the two halves of a block, and the names of its weights."""

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

INWARD = ("attention.self.query", "attention.self.key", "attention.self.value")
OUTWARD, WIDEN, NARROW = "attention.output.dense", "intermediate.dense", "output.dense"
MODULES = (*INWARD, OUTWARD, WIDEN, NARROW)


@attrs.frozen(eq=False)
class Attended:
    """What the backward pass of self-attention needs."""

    A: Matrix
    Q: Matrix
    K: Matrix
    V: Matrix
    O: Matrix  # noqa: E741 - the output of attention


def self_attention(
    linears: Linears, path: str, A: Matrix, heads: int, layout: Layout
) -> tuple[Matrix, Attended]:
    """`dense(attention(query A, key A, value A))` over whole sequences, queries and keys turned where the layout says so.

    Scaling the scores, or the queries before they are turned, as ESM does, is the same: a rotation is linear.
    """
    n, width = A.shape[0], linears.weights[f"{path}.{INWARD[0]}.weight"].shape[0] // heads
    Q, K, V = (linears.forward(f"{path}.{name}", A).reshape(n, heads, width) for name in INWARD)
    if layout.turn is not None:
        Q, K = rotate(Q, *layout.turn), rotate(K, *layout.turn)
    O = attention(Q, K, V, layout.offsets, causal=False, scale=1.0 / math.sqrt(width))  # noqa: E741
    flat = O.reshape(n, heads * width)
    return linears.forward(f"{path}.{OUTWARD}", flat), Attended(A, Q, K, V, flat)


def self_attention_backward(linears: Linears, path: str, seen: Attended, G: Matrix, layout: Layout) -> Matrix:
    """`dL/dA`: the sum of what comes back through queries, keys and values."""
    dO = linears.backward(f"{path}.{OUTWARD}", seen.O, G).reshape(seen.Q.shape)
    scale = 1.0 / math.sqrt(seen.Q.shape[2])
    dQ, dK, dV = attention_backward(seen.Q, seen.K, seen.V, layout.offsets, dO, causal=False, scale=scale)
    if layout.turn is not None:
        dQ, dK = rotate_backward(dQ, *layout.turn), rotate_backward(dK, *layout.turn)
    dA = np.zeros_like(seen.A)
    for name, dX in zip(INWARD, (dQ, dK, dV), strict=True):
        dA = dA + linears.backward(f"{path}.{name}", seen.A, dX.reshape(len(G), -1))
    return dA


@attrs.frozen(eq=False)
class EncoderPass:
    """What the backward pass of the feed-forward layer needs."""

    A: Matrix
    Z: Matrix


def feed_forward(linears: Linears, path: str, A: Matrix, f: Activation) -> tuple[Matrix, EncoderPass]:
    """`narrow f(Z)` with `Z = widen A`."""
    Z = linears.forward(f"{path}.{WIDEN}", A)
    return linears.forward(f"{path}.{NARROW}", f[0](Z)), EncoderPass(A, Z)


def feed_forward_backward(linears: Linears, path: str, seen: EncoderPass, G: Matrix, f: Activation) -> Matrix:
    """`dL/dA`."""
    dZ = linears.backward(f"{path}.{NARROW}", f[0](seen.Z), G) * f[1](seen.Z)
    return linears.backward(f"{path}.{WIDEN}", seen.A, dZ)


def encoder_parameters(layers: int, norms: tuple[str, ...]) -> frozenset[str]:
    """The weights of all blocks, each of which has `norms` besides the linear layers; everything has a bias."""
    return frozenset(
        f"model.encoder.layer.{layer}.{module}.{kind}"
        for layer in range(layers)
        for module in (*MODULES, *norms)
        for kind in ("weight", "bias")
    )
