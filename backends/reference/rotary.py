"""Rotary positions: queries and keys are turned by angles that grow with the position (Su et al., 2021)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .arrays import Index, Matrix
from .settings import refuse

TYPES = ("default", "linear", "llama3")


def frequencies(hf: Mapping[str, Any], head: int) -> Matrix:
    """Radians per position `(head / 2,)`: `theta^(-2 i / head)`, rescaled as the configuration's rope type says.

    Settings lie in `rope_parameters`, or at the top level and in `rope_scaling` in configurations of older versions.
    Raises `UsageError` for a type that is not implemented.
    """
    rope: Mapping[str, Any] = hf.get("rope_parameters") or hf.get("rope_scaling") or {}
    if any(isinstance(value, Mapping) for value in rope.values()):
        raise refuse("rope_parameters", dict(rope), ["one set of parameters for all layers"])
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in TYPES:
        raise refuse("rope_type", kind, TYPES)
    share = rope.get("partial_rotary_factor", hf.get("partial_rotary_factor", 1.0))
    if share != 1.0:
        raise refuse("partial_rotary_factor", share, [1.0])
    if head % 2:
        raise refuse("head_dim", head, ["even numbers"])
    theta = rope.get("rope_theta", hf.get("rope_theta", 10000.0))
    plain = float(theta) ** (-np.arange(0, head, 2, dtype=np.float64) / head)
    if kind == "linear":
        return plain / rope["factor"]
    return _llama3(plain, rope, hf) if kind == "llama3" else plain


def _llama3(plain: Matrix, rope: Mapping[str, Any], hf: Mapping[str, Any]) -> Matrix:
    """Llama 3.1: slow frequencies are divided by `factor`, fast ones kept, those between blended.

    With `n = L / wavelength` turns over the original context L: `n < low` is slow, `n > high` fast, and between them
    `f' = (1 - s) f / factor + s f` with `s = (n - low) / (high - low)`.
    """
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    context = rope.get("original_max_position_embeddings", hf.get("max_position_embeddings"))
    turns = context * plain / (2.0 * math.pi)
    s = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return (1.0 - s) * plain / rope["factor"] + s * plain


def angles(positions: Index, frequency: Matrix, dtype: np.dtype[Any]) -> tuple[Matrix, Matrix]:
    """Cosines and sines `(n, 1, head / 2)` of every token's angles, to be broadcast over the heads."""
    angle = positions.astype(dtype)[:, None, None] * frequency.astype(dtype)
    return np.cos(angle), np.sin(angle)


def rotate(X: Matrix, cos: Matrix, sin: Matrix) -> Matrix:
    """Turns `X (n, heads, head)` in the planes `(i, i + head / 2)`: `(a, b) -> (a cos - b sin, b cos + a sin)`."""
    half = X.shape[2] // 2
    a, b = X[:, :, :half], X[:, :, half:]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=2)


def rotate_backward(G: Matrix, cos: Matrix, sin: Matrix) -> Matrix:
    """A rotation's transpose is its inverse: the gradient is turned back."""
    return rotate(G, cos, -sin)
