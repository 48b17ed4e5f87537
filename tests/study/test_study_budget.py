"""Budgets: a key is solved for, the quantity is what runs really do, and what cannot be solved is said."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.engine.study.budget import nearest
from boostlora.engine.study.study_loader import Study

Read = Callable[..., Study]
Faults = Callable[..., list[str]]


@given(
    start=st.integers(0, 50),
    steps=st.lists(st.integers(0, 9), min_size=1, max_size=120),
    target=st.integers(1, 1200),
)
def test_nearest_of_any_growing_steps_is_as_near_as_any(start: int, steps: list[int], target: int) -> None:
    """Whatever plateaus and jumps there are, no value is nearer; where the target is never reached, none is given."""
    levels = [start]
    for step in steps:
        levels.append(levels[-1] + step)

    def quantity(value: int) -> int:
        return levels[min(value, len(levels)) - 1]

    found = nearest(quantity, target)
    if levels[-1] < target:
        assert found is None
    else:
        assert found is not None
        value, reached = found
        assert reached == quantity(value)
        assert abs(reached - target) == min(abs(level - target) for level in levels)


@given(each=st.integers(1, 10**6), target=st.integers(1, 10**12))
def test_nearest_of_a_proportional_quantity_rounds_to_it(each: int, target: int) -> None:
    found = nearest(lambda value: each * value, target)
    assert found is not None
    assert found[0] in {max(1, target // each), max(1, -(-target // each))}
    assert abs(found[1] - target) <= max(each / 2, each - target)


def test_nearest_of_an_undefined_quantity_is_none() -> None:
    assert nearest(lambda _: None, 5) is None
    assert nearest(lambda value: value if value < 4 else None, 5) is None


BUDGET = '[[ablate.budget]]\nhold = "{hold}"\nby = "{by}"\n'
TWO = 'seeds = 1\nbaseline = "a"\n[[ablate.case]]\nname = "a"\n{a}[[ablate.case]]\nname = "b"\n{b}'

SOLVED = {
    "rounds": ("set.rounds = 4\n", 'set."optimizer.steps" = 20\n', "steps", "rounds", 8),
    "steps": (
        'set.rounds = 4\nset."optimizer.steps" = 6\n',
        "set.rounds = 3\n",
        "steps",
        "optimizer.steps",
        8,
    ),
    "batch size": (
        'set."optimizer.batch_size" = 12\n',
        "set.rounds = 6\n",
        "examples",
        "optimizer.batch_size",
        4,
    ),
    "u": ('set."adapter.use" = "full"\n', "", "parameters", "adapter.u", 512),
    "rank": (
        'set."adapter.u" = 49\n',
        'set."adapter.use" = "lora-xs"\n',
        "parameters",
        "adapter.rank",
        7,
    ),
    "rounds for numbers": (
        'set."adapter.use" = "full"\n',
        'set."adapter.rank" = 1\nset."basis.exhausted" = "wrap"\nset."adapter.u" = 16\n',
        "total_parameters",
        "rounds",
        64,
    ),
}


@pytest.mark.parametrize("situation", SOLVED)
def test_budget_key_is_solved_for_and_noted(read_study: Read, situation: str) -> None:
    a, b, hold, by, value = SOLVED[situation]
    study = read_study(TWO.format(a=a, b=b) + BUDGET.format(hold=hold, by=by))
    arm = study.record.arms[1]
    assert arm.solved == {by: value}
    table, _, option = by.partition(".")
    tree = study.cells[1].spec.as_tree()
    assert (tree[table][option] if option else tree[table]) == value
    assert any(
        note.startswith(f"{by} solved so that ") and note.endswith(f": {value} (b)")
        for note in study.record.notes
    )


def test_budget_does_not_change_keys_that_the_baseline_sets(read_study: Read) -> None:
    study = read_study(TWO.format(a="set.rounds = 4\n", b="") + BUDGET.format(hold="steps", by="rounds"))
    assert [arm.solved for arm in study.record.arms] == [{"rounds": 4}, {"rounds": 4}]
    assert [cell.spec.rounds for cell in study.cells] == [4, 4]


def test_budget_that_is_already_met_changes_nothing(read_study: Read) -> None:
    text = 'seeds = 1\nbaseline = "rotate"\ngrid."basis.use" = ["rotate", "fixed"]\n'
    study = read_study(text + BUDGET.format(hold="parameters", by="adapter.rank"))
    assert [cell.spec.adapter.rank for cell in study.cells] == [4, 4]
    assert study.record.notes == ()


def test_budget_target_is_that_of_the_baseline_in_each_block(read_study: Read) -> None:
    text = 'seeds = 1\nbaseline = "rotate"\ngrid."basis.use" = ["rotate", "fixed"]\nacross."optimizer.steps" = [10, 20]\n'
    text += '[[ablate.when]]\nmatch."basis.use" = "fixed"\nset."optimizer.batch_size" = 32\n'
    study = read_study(text + BUDGET.format(hold="examples", by="rounds"))
    found = {(c.record.arm, c.record.block): c.spec.rounds for c in study.cells}
    assert found == {
        (arm, f"steps={s}"): rounds for arm, rounds in (("rotate", 2), ("fixed", 4)) for s in (10, 20)
    }


def test_budget_is_held_in_every_tuning(read_study: Read) -> None:
    text = (
        'seeds = 1\ntune."optimizer.steps" = [10, 20]\n'
        + BUDGET.format(hold="steps", by="rounds")
        + "at = 80\n"
    )
    study = read_study(text)
    assert [(c.spec.optimizer.steps, c.spec.rounds) for c in study.cells] == [(10, 8), (20, 4)]
    assert study.record.notes == (
        "rounds solved so that optimiser steps in all rounds are 80: 8 (s · steps=10), 4 (s · steps=20)",
    )


def test_budget_that_tuning_does_not_touch_is_noted_once(read_study: Read) -> None:
    text = (
        'seeds = 1\ntune."optimizer.lr" = [0.1, 0.2]\n'
        + BUDGET.format(hold="steps", by="rounds")
        + "at = 40\n"
    )
    assert read_study(text).record.notes == (
        "rounds solved so that optimiser steps in all rounds are 40: 1 (s)",
    )


def test_budgets_are_solved_in_order(read_study: Read) -> None:
    text = "seeds = 1\n" + BUDGET.format(hold="steps", by="rounds") + "at = 80\n"
    text += BUDGET.format(hold="examples", by="optimizer.batch_size") + "at = 800\n"
    (cell,) = read_study(text).cells
    assert (cell.spec.rounds, cell.spec.optimizer.batch_size) == (2, 10)


def test_budget_within_tolerance_is_noted_with_what_was_wanted(read_study: Read) -> None:
    text = TWO.format(a="set.rounds = 4\n", b='set."optimizer.steps" = 17\n')
    study = read_study(text + BUDGET.format(hold="steps", by="rounds") + "tolerance = 0.05\n")
    assert study.record.notes == (
        "rounds solved so that optimiser steps in all rounds are 153 (target: 160): 9 (b)",
    )
