"""Few-shot prompts."""

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
    """Every prompt after `count` solved ones from `pool`, each followed by `separator`; the same ones for all prompts.

    A prompt never includes itself as a shot, in whichever split it is; it gets the next one drawn instead. The draw depends on the
    order of `pool`, so indices should be sorted by id. Raises `UsageError` if there are too few different prompts.
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
