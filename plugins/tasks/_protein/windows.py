"""Sequence windows for sides that are too long for the model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .complexes import BREAK


def windows(sides: Sequence[str], groups: Sequence[int], most: int) -> list[str]:
    """Every side cut to at most `most` letters: the window in which its variants differ most.

    Sides of one group with the same length are substitution variants. At every position, the variants that differ from the most
    common letter are counted; the first window with the largest count is used for all of them. Mutations are so kept as far
    as possible, and variants are cut alike; without differences, the start is kept.
    """
    found = list(sides)
    families = dict[tuple[int, int], list[int]]()
    for i, (text, group) in enumerate(zip(sides, groups, strict=True)):
        if len(text) > most:
            families.setdefault((group, len(text)), []).append(i)
    for members in families.values():
        start = _start(sorted({sides[i] for i in members}), most)
        for i in members:
            found[i] = sides[i][start : start + most].strip(BREAK)
    return found


def _start(variants: Sequence[str], most: int) -> int:
    """Start of the window with the most differences."""
    letters = np.array([list(text.encode()) for text in variants], dtype=np.uint8)
    commonest = np.array([np.bincount(column).argmax() for column in letters.T], dtype=np.uint8)
    ends = np.concatenate([[0], np.cumsum((letters != commonest).sum(axis=0))])
    return int(np.argmax(ends[most:] - ends[:-most]))
