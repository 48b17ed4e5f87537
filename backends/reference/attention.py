"""Softmax attention within each sequence, with grouped query heads.

Sequences are concatenated without padding, and attention runs over each separately. `S = scale Q K^T` (if causal, only `j <= i`),
`P = softmax(S)` by row, `O = P V` (Vaswani et al., 2017). In grouped-query attention with groups of g, query heads
`k g, ..., k g + g - 1` share the key and value head `k` (Ainslie et al., 2023).
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .arrays import Index, Matrix


def attention(Q: Matrix, K: Matrix, V: Matrix, offsets: Index, *, causal: bool, scale: float) -> Matrix:
    """`O (n, heads, head)` for `Q (n, heads, head)` and `K`, `V (n, kv_heads, head)`, per sequence."""
    O = np.empty_like(Q)  # noqa: E741 - the output of the formulas
    for begin, end in pairwise(offsets.tolist()):
        q, k, v = (_grouped(X[begin:end], K.shape[1]) for X in (Q, K, V))
        O[begin:end] = _flat(_probabilities(q, k, causal=causal, scale=scale) @ v)
    return O


def attention_backward(
    Q: Matrix, K: Matrix, V: Matrix, offsets: Index, G: Matrix, *, causal: bool, scale: float
) -> tuple[Matrix, Matrix, Matrix]:
    """Gradients of `Q`, `K` and `V`, from `G = dL/dO`.

    `dP = G V^T`; the softmax gives `dS = P * (dP - sum_j P dP)`; then `dQ = scale dS K`, `dK = scale dS^T Q` and `dV = P^T G`,
    the last two summed over the query heads of a group.
    """
    dQ, dK, dV = np.empty_like(Q), np.empty_like(K), np.empty_like(V)
    for begin, end in pairwise(offsets.tolist()):
        q, k, v, g = (_grouped(X[begin:end], K.shape[1]) for X in (Q, K, V, G))
        # Recomputed rather than kept: `P` is quadratic in the text's length.
        P = _probabilities(q, k, causal=causal, scale=scale)
        dP = g @ np.swapaxes(v, 2, 3)
        # The factor of `S = scale Q K^T` is part of dS, so it is not repeated for Q and K.
        dS = P * (dP - np.sum(P * dP, axis=3, keepdims=True)) * scale
        dQ[begin:end] = _flat(dS @ k)
        # Key and value heads are shared by a group: their gradients sum over its query heads.
        dK[begin:end] = _flat(np.sum(np.swapaxes(dS, 2, 3) @ q, axis=1, keepdims=True))
        dV[begin:end] = _flat(np.sum(np.swapaxes(P, 2, 3) @ g, axis=1, keepdims=True))
    return dQ, dK, dV


def _probabilities(q: Matrix, k: Matrix, *, causal: bool, scale: float) -> Matrix:
    """`P (kv_heads, group, t, t)`; the row maximum is subtracted to avoid overflow."""
    S = scale * (q @ np.swapaxes(k, 2, 3))
    if causal:
        # Before the row maximum: a later token must not set it. The diagonal stays, so no row is all -inf.
        np.copyto(S, -np.inf, where=_later(S.shape[2]))
    # The softmax does not change if a constant is subtracted from a row.
    E = np.exp(S - S.max(axis=3, keepdims=True))
    return E / E.sum(axis=3, keepdims=True)


def _later(t: int) -> NDArray[np.bool_]:
    """Where `j > i (t, t)`: a corner of a larger triangle, which serves every text up to its size."""
    # Rounded up to a power of two, so that few triangles are built for texts of many lengths.
    return _triangle(1 << (t - 1).bit_length())[:t, :t]


@lru_cache(maxsize=8)
def _triangle(size: int) -> NDArray[np.bool_]:
    return ~np.tri(size, dtype=np.bool_)


def _grouped(X: Matrix, kv_heads: int) -> Matrix:
    """Reshape `(t, heads, head)` to `(kv_heads, group, t, head)`."""
    t, heads, head = X.shape
    # Heads of a group are neighbours, as in the checkpoints: head h belongs to key head `h // group`.
    return X.reshape(t, kv_heads, heads // kv_heads, head).transpose(1, 2, 0, 3)


def _flat(X: Matrix) -> Matrix:
    """Reshape `(kv_heads, group, t, head)` to `(t, heads, head)`."""
    kv_heads, group, t, head = X.shape
    return X.transpose(2, 0, 1, 3).reshape(t, kv_heads * group, head)
