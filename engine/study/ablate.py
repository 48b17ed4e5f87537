"""The `[ablate]` table: what varies, what is held, what is compared."""

from __future__ import annotations

from typing import Any, Literal

import attrs

from ..foundation.options import Limit, option

MOST_SEEDS, MOST_CELLS, LONGEST_LABEL = 1000, 100_000, 100
Quantity = Literal["parameters", "total_parameters", "steps", "examples"]
QUANTITIES: dict[Quantity, str] = {
    "parameters": "numbers trained in a round",
    "total_parameters": "numbers trained in all rounds",
    "steps": "optimiser steps in all rounds",
    "examples": "examples seen in all rounds, each as often as it is seen",
}
inside = Limit("more than 0 and less than 1", lambda x: 0 < x < 1)
label = Limit(
    f"1 to {LONGEST_LABEL} printable characters",
    lambda x: x.isprintable() and x.strip() == x and 0 < len(x) <= LONGEST_LABEL,
)


@attrs.frozen(kw_only=True)
class Case:
    """`[[ablate.case]]`: an arm of its own, beside those of the grid."""

    name: str = option(attrs.NOTHING, "the arm's label", label)
    set: Any = option(attrs.Factory(dict), "keys of the spec and their values")
    tune: Any = option(attrs.Factory(dict), "candidates of its own for tuned keys")


@attrs.frozen(kw_only=True)
class When:
    """`[[ablate.when]]`: arms that match are dropped, or adjusted."""

    match: Any = option(attrs.NOTHING, "keys with the value that they must have, or a list of such values")
    drop: bool = option(False, "leave such arms out")
    set: Any = option(attrs.Factory(dict), "keys to set in such arms")
    tune: Any = option(attrs.Factory(dict), "candidates for tuned keys in such arms")


@attrs.frozen(kw_only=True)
class Budget:
    """`[[ablate.budget]]`: a quantity that is the same in every arm, by solving for a key."""

    hold: Quantity = option(attrs.NOTHING, "the quantity that is held")
    by: str = option(attrs.NOTHING, "the key of the spec that follows from it, a whole number")
    at: int = option(0, "its value; 0: that of the baseline", min=0)
    tolerance: float = option(0.0, "largest relative departure that will do", min=0.0, max=0.5)
    match: Any = option(attrs.Factory(dict), "only in arms that match")


@attrs.frozen(kw_only=True)
class Ablate:
    """The table as it is written; what is `Any` is read by `reading.Reader`, which knows the places of its keys.

    A key varies in one place alone: in the grid, in one zip, or across blocks. What is tuned is not varied as well; a case or
    a condition that sets a tuned key takes the tuning away from its arms, and tuning of their own may be given to them. What an
    arm or a block sets, no condition changes; what a budget solves for, nothing else sets, but for the baseline it is held to.
    """

    grid: Any = option(attrs.Factory(dict), "lists of values by key: every combination is an arm")
    zip: Any = option(attrs.Factory(dict), "lists of equal length by key, which vary together")
    case: Any = option(attrs.Factory(list), "arms of their own")
    when: Any = option(attrs.Factory(list), "conditions that drop or adjust arms")
    budget: Any = option(attrs.Factory(list), "quantities that are held")
    across: Any = option(attrs.Factory(dict), "lists of values by key: the study is repeated for each")
    tune: Any = option(
        attrs.Factory(dict), "candidates by key: every arm is reported at its best on validation"
    )
    seeds: int | tuple[int, ...] = option(5, "how many seeds, counted from the spec's own, or which")
    baseline: Any = option("", "the arm that others are compared with: its label, or keys that pick it out")
    metric: str = option("accuracy", "what is compared: accuracy, loss, or a measure of the task")
    split: Literal["test", "validation"] = option("test", "on which split")
    at: Literal["last", "best"] = option("last", "after the last round, or at the best round on validation")
    confidence: float = option(0.95, "of every interval", inside)
    executor: Any = option(attrs.Factory(dict), "where cells are run: an executor plugin and its options")
