"""Protein complexes of two sides with one or more chains each, and their affinities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

import attrs
import numpy as np
from numpy.typing import NDArray

from ....engine.errors import UsageError
from ....engine.foundation.options import shortened
from .._text.data import PARTS, ids_of

BREAK = "|"
"""Separator of the chains of one side."""


@attrs.frozen(kw_only=True, order=True)
class Complex:
    """One measured pair; ordered by content."""

    assigned: str
    """The split that the data assign it to; empty if it is to be drawn."""
    ligand: str
    receptor: str
    pkd: float
    """`-log10` of the dissociation constant in molar."""
    groups: tuple[str, ...] = ()
    """All groups of its measurements."""
    mutations: str = ""

    @property
    def chains(self) -> tuple[str, ...]:
        """All chains of both sides."""
        return (*self.ligand.split(BREAK), *self.receptor.split(BREAK))

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys that must not occur in two splits."""
        return (*(f"group {group}" for group in self.groups), *self.chains)


def side(where: str, column: str, number: int, text: str) -> str:
    """One side's chains, stripped and in upper case. Raises `UsageError` for an invalid sequence."""
    chains = [chain.strip().upper() for chain in text.split(BREAK)]
    for chain in chains:
        if not chain.isascii() or not chain.isalpha():
            what = f'"{shortened(chain)}"' if chain else "an empty chain"
            raise UsageError(
                f'{where}: column "{column}" holds {what} in row {number}; '
                f"a chain has one letter per residue, and chains are joined by {BREAK}"
            )
    return BREAK.join(chains)


def pkd(where: str, column: str, number: int, text: str, scale: str) -> float:
    """An affinity as `-log10 KD`. Raises `UsageError` for a value that is not finite, or not a concentration."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(
            f'{where}: column "{column}" holds "{shortened(text)}" in row {number}; an affinity is a number'
        )
    if scale == "pkd":
        return value
    if value <= 0.0:
        raise UsageError(
            f'{where}: column "{column}" holds {value:g} in row {number}; a dissociation constant in molar is positive'
        )
    return -math.log10(value)


def averaged(complexes: Sequence[Complex]) -> list[Complex]:
    """One complex per pair and split, with the mean `-log10 KD` (the geometric mean of the constants) and all groups."""
    found = list[Complex]()
    for _, same in groupby(sorted(complexes), key=lambda c: (c.assigned, c.ligand, c.receptor)):
        several = list(same)
        mean = math.fsum(c.pkd for c in several) / len(several)
        groups = tuple(sorted({group for c in several for group in c.groups}))
        found.append(attrs.evolve(several[0], pkd=mean, groups=groups))
    return found


def named(complexes: Sequence[Complex]) -> tuple[list[Complex], NDArray[np.int64]]:
    """Complexes sorted by their ids `(n,)`, which derive from the two sides and, for repeats, their count."""
    order = sorted(complexes, key=lambda c: (PARTS.index(c.assigned) if c.assigned else -1, c))
    ids = ids_of([{"ligand": c.ligand, "receptor": c.receptor} for c in order], ("ligand", "receptor"))
    places = np.argsort(ids, kind="stable")
    return [order[i] for i in places.tolist()], ids[places]


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
        start = _window_start(sorted({sides[i] for i in members}), most)
        for i in members:
            found[i] = sides[i][start : start + most].strip(BREAK)
    return found


def _window_start(variants: Sequence[str], most: int) -> int:
    """Start of the window with the most differences."""
    letters = np.array([list(text.encode()) for text in variants], dtype=np.uint8)
    commonest = np.array([np.bincount(column).argmax() for column in letters.T], dtype=np.uint8)
    ends = np.concatenate([[0], np.cumsum((letters != commonest).sum(axis=0))])
    return int(np.argmax(ends[most:] - ends[:-most]))
