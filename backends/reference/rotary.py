"""Rotary position embeddings: queries and keys are rotated by angles proportional to the position (Su et al., 2021)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .arrays import Index, Matrix
from .settings import unsupported

TYPES = ("default", "linear", "llama3")


def frequencies(hf: Mapping[str, Any], head: int) -> Matrix:
    """Radians per position `(head / 2,)`: `theta^(-2 i / head)`, rescaled according to the configuration's rope type.

    Settings are in `rope_parameters`; older configurations have them at the top level and in `rope_scaling`. Raises `UsageError`
    for a type that is not implemented.
    """
    rope: Mapping[str, Any] = hf.get("rope_parameters") or hf.get("rope_scaling") or {}
    if any(isinstance(value, Mapping) for value in rope.values()):
        raise unsupported("rope_parameters", dict(rope), ["one set of parameters for all layers"])
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in TYPES:
        raise unsupported("rope_type", kind, TYPES)
    share = rope.get("partial_rotary_factor", hf.get("partial_rotary_factor", 1.0))
    if share != 1.0:
        raise unsupported("partial_rotary_factor", share, [1.0])
    if head % 2:
        raise unsupported("head_dim", head, ["even numbers"])
    theta = rope.get("rope_theta", hf.get("rope_theta", 10000.0))
    plain = float(theta) ** (-np.arange(0, head, 2, dtype=np.float64) / head)
    if kind == "linear":
        return plain / rope["factor"]
    return _llama3(plain, rope, hf) if kind == "llama3" else plain


def _llama3(plain: Matrix, rope: Mapping[str, Any], hf: Mapping[str, Any]) -> Matrix:
    """Llama 3.1's scaling: low frequencies are divided by `factor`, high ones kept, those between interpolated.

    With `n = L / wavelength` periods over the original context L, `f' = (1 - s) f / factor + s f` with
    `s = (n - low) / (high - low)` clipped to [0, 1].
    """
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    context = rope.get("original_max_position_embeddings", hf.get("max_position_embeddings"))
    turns = context * plain / (2.0 * math.pi)
    s = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return (1.0 - s) * plain / rope["factor"] + s * plain


def angles(positions: Index, frequency: Matrix, dtype: np.dtype[Any]) -> tuple[Matrix, Matrix]:
    """Cosines and sines `(n, 1, head / 2)` of every token's angles, broadcast over heads."""
    angle = positions.astype(dtype)[:, None, None] * frequency.astype(dtype)
    return np.cos(angle), np.sin(angle)


def rotate(X: Matrix, cos: Matrix, sin: Matrix) -> Matrix:
    """Rotate `X (n, heads, head)` in the planes `(i, i + head / 2)`: `(a, b) -> (a cos - b sin, b cos + a sin)`."""
    half = X.shape[2] // 2
    # Planes pair the two halves, as in Hugging Face's checkpoints; the paper pairs neighbouring entries.
    a, b = X[:, :, :half], X[:, :, half:]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=2)


def rotate_backward(G: Matrix, cos: Matrix, sin: Matrix) -> Matrix:
    """`dL/dX`: the transpose of a rotation is the inverse rotation."""
    return rotate(G, cos, -sin)
