"""Whose trained numbers are shared, as PEFT's TinyLoRA can say it."""

from __future__ import annotations

from collections.abc import Sequence


def shares(count: int, groups: int) -> list[int]:
    """The group of each of `count` modules, in the model's order, where PEFT's `weight_tying` asks for `groups` of them.

    Neighbours share, `count // groups` of them, and the last group takes what is left (`peft.tuners.tinylora.model`).
    """
    size = max(1, count // groups)
    return [min(i // size, groups - 1) for i in range(count)]


def tying(groups: Sequence[str]) -> float:
    """`weight_tying` under which PEFT ties the modules as `groups` (one for each, in the model's order) are; 0: it ties none.

    Where ours are tied in another way, each module keeps a copy of its own.
    """
    count, names = len(groups), list(dict.fromkeys(groups))
    degree = 1.0 - len(names) / count
    understood = max(1, round(count * (1.0 - degree)))
    fits = understood == len(names) and [names.index(group) for group in groups] == shares(count, understood)
    return degree if fits else 0.0
