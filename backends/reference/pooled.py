"""Pooling: one vector per sequence from its token vectors."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from .arrays import Index, Matrix

POOLINGS = ("mean", "cls", "last", "max")


def pool(H: Matrix, offsets: Index, how: str) -> Matrix:
    """`(n, d)` from `H (tokens, d)`: the mean or the maximum over a sequence, or its first (`cls`) or last token."""
    found = np.empty((len(offsets) - 1, H.shape[1]), dtype=H.dtype)
    for i, (begin, end) in enumerate(pairwise(offsets.tolist())):
        rows = H[begin:end]
        match how:
            case "mean":
                found[i] = rows.mean(axis=0)
            case "max":
                found[i] = rows.max(axis=0)
            case _:
                found[i] = rows[0 if how == "cls" else -1]
    return found


def pool_backward(H: Matrix, offsets: Index, how: str, G: Matrix) -> Matrix:
    """`dL/dH (tokens, d)`: `mean` spreads `G (n, d)` evenly, the others pass it to the selected token (the first, on a tie)."""
    dH = np.zeros_like(H)
    for i, (begin, end) in enumerate(pairwise(offsets.tolist())):
        match how:
            case "mean":
                dH[begin:end] = G[i] / (end - begin)
            case "max":
                dH[begin + np.argmax(H[begin:end], axis=0), np.arange(H.shape[1])] = G[i]
            case _:
                dH[begin if how == "cls" else end - 1] = G[i]
    return dH
