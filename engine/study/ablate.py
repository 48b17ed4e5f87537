"""The `[ablate]` table: what varies, what is held equal, what is compared."""

from __future__ import annotations

from typing import Any, Literal

import attrs

from ..foundation.options import Limit, option

MAX_SEEDS, MAX_CELLS, MAX_LABEL = 1000, 100_000, 100
Quantity = Literal["parameters", "total_parameters", "steps", "examples"]
QUANTITIES: dict[Quantity, str] = {
    "parameters": "parameters trained in a round",
    "total_parameters": "parameters trained in all rounds",
    "steps": "optimiser steps in all rounds",
    "examples": "examples drawn in all rounds, counted with repetition",
}
open_unit_interval = Limit("more than 0 and less than 1", lambda x: 0 < x < 1)
label = Limit(
    f"1 to {MAX_LABEL} printable characters",
    lambda x: x.isprintable() and x.strip() == x and 0 < len(x) <= MAX_LABEL,
)


@attrs.frozen(kw_only=True)
class Case:
    """`[[ablate.case]]`: an explicit arm, besides those of the grid."""

    name: str = option(attrs.NOTHING, "the arm's label", label)
    set: Any = option(attrs.Factory(dict), "keys of the spec and their values")
    tune: Any = option(attrs.Factory(dict), "its own candidates for tuned keys")


@attrs.frozen(kw_only=True)
class Condition:
    """`[[ablate.when]]`: drops or adjusts matching arms."""

    match: Any = option(attrs.NOTHING, "keys with their required value, or a list of allowed values")
    drop: bool = option(False, "drop matching arms")
    set: Any = option(attrs.Factory(dict), "keys to set in matching arms")
    tune: Any = option(attrs.Factory(dict), "candidates for tuned keys in matching arms")


@attrs.frozen(kw_only=True)
class Budget:
    """`[[ablate.budget]]`: a quantity held equal in all arms by solving for a key."""

    hold: Quantity = option(attrs.NOTHING, "the quantity to hold equal")
    by: str = option(attrs.NOTHING, "the integer key of the spec to solve for")
    at: int = option(0, "its target; 0: the baseline's value", min=0)
    tolerance: float = option(0.0, "largest accepted relative deviation", min=0.0, max=0.5)
    match: Any = option(attrs.Factory(dict), "only in matching arms")


@attrs.frozen(kw_only=True)
class Ablate:
    """The `[ablate]` table: what varies, what is held equal, and what is compared.

    A key varies in only one place: the grid, one zip, or across blocks. Tuned keys do not vary; a case or condition that
    sets a tuned key removes its tuning from the arm, and may give its own candidates. Conditions cannot change a key that an
    arm or a block sets. A key that a budget solves for is set nowhere else, except in the baseline that defines the target.
    """

    # Fields of type `Any` are parsed by `ablate_parser.Reader`, which knows the positions of keys.
    grid: Any = option(attrs.Factory(dict), "lists of values by key: every combination is an arm")
    zip: Any = option(attrs.Factory(dict), "lists of equal length by key, varied together")
    case: Any = option(attrs.Factory(list), "explicit arms")
    when: Any = option(attrs.Factory(list), "conditions that drop or adjust arms")
    budget: Any = option(attrs.Factory(list), "quantities held equal")
    across: Any = option(
        attrs.Factory(dict), "lists of values by key: the study is repeated for each combination"
    )
    tune: Any = option(
        attrs.Factory(dict), "candidates by key: every arm is reported at its best candidate on validation"
    )
    seeds: int | tuple[int, ...] = option(
        5, "the number of seeds, counted up from the spec's seed, or a list of seeds"
    )
    baseline: Any = option("", "the arm that others are compared with: its label, or keys that identify it")
    metric: str = option("accuracy", "the compared metric: accuracy, loss, or a measure of the task")
    split: Literal["test", "validation"] = option("test", "the compared split")
    at: Literal["last", "best"] = option("last", "after the last round, or at the best round on validation")
    confidence: float = option(0.95, "confidence of every interval", open_unit_interval)
    executor: Any = option(attrs.Factory(dict), "an executor plugin, which runs the cells, and its options")
