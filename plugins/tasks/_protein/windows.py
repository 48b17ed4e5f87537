"""Which residues of a side a model is shown, where all are too many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .complexes import BREAK


def windows(sides: Sequence[str], groups: Sequence[int], most: int) -> list[str]:
    """Every side with at most `most` letters: the window in which the variants of its complex differ most.

    Sides of one group with the same length are variants of each other, by substitution. At every place the variants that depart from the
    commonest letter are counted; the window with the largest count is taken for all of them, the first of several. So a
    mutation is not cut away while there is room, and variants are cut alike; where they are all the same, the head is kept.
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
    """Where the window begins that holds the most departures."""
    letters = np.array([list(text.encode()) for text in variants], dtype=np.uint8)
    commonest = np.array([np.bincount(column).argmax() for column in letters.T], dtype=np.uint8)
    ends = np.concatenate([[0], np.cumsum((letters != commonest).sum(axis=0))])
    return int(np.argmax(ends[most:] - ends[:-most]))
