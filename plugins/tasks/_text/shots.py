"""Solved examples before a prompt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ....engine.errors import UsageError


def with_shots(
    prompts: Sequence[str],
    completions: Sequence[str],
    pool: NDArray[np.int64],
    count: int,
    rng: np.random.Generator,
    *,
    where: str,
    separator: str = "\n\n",
) -> tuple[str, ...]:
    """Every prompt behind `count` solved ones, each followed by `separator`: the same for all, drawn from `pool`.

    An example is never shown its own prompt, in whichever part it stands; it gets the next one drawn instead. The order of the indices in
    `pool` decides what is drawn, so they are to be in the order of ids. Raises `UsageError` where there are too few different prompts.
    """
    if not count:
        return tuple(prompts)
    drawn: dict[str, str] = {}
    order: list[int] = rng.permutation(pool).tolist()
    for i in order:
        drawn.setdefault(prompts[i], prompts[i] + completions[i] + separator)
        if len(drawn) > count:
            break
    if len(drawn) <= count:
        raise UsageError(
            f"{where}: shots = {count} needs {count + 1} different training examples, and there are {len(drawn)}"
        )
    return tuple(_before(prompt, drawn, count) + prompt for prompt in prompts)


def _before(prompt: str, drawn: dict[str, str], count: int) -> str:
    return "".join([shot for other, shot in drawn.items() if other != prompt][:count])
