"""Budgets that cannot be held, and what is said; quantities against what runs record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from boostlora.engine.boosting.experiment import prepare
from boostlora.engine.boosting.loop import boost
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.registry import Registry
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.study.budget_quantities import measure
from boostlora.engine.study.study_loader import Study, load_study
from boostlora.engine.testing.cells import PLUGIN

Read = Callable[..., Study]
Faults = Callable[..., list[str]]

BASES = 'baseline = "rotate"\ngrid."basis.use" = ["rotate", "fixed"]\n'
STEPS = '[[ablate.budget]]\nhold = "steps"\nby = "rounds"\n'
NUMBERS = '[[ablate.budget]]\nhold = "parameters"\nby = "adapter.rank"\n'
XS = '[[ablate.case]]\nname = "x"\nset."adapter.use" = "lora-xs"\n'
UNEVEN = '[[ablate.case]]\nname = "x"\nset."optimizer.steps" = 17\n[[ablate.case]]\nname = "y"\nset."optimizer.steps" = 7\n'

REFUSED = {
    "no target": (STEPS, ["1:1: without a baseline, a budget needs a target"]),
    "no baseline in a block": (
        BASES
        + 'across.rounds = [1, 2]\n[[ablate.when]]\nmatch."basis.use" = "rotate"\nmatch.rounds = 2\ndrop = true\n'
        '[[ablate.budget]]\nhold = "steps"\nby = "optimizer.steps"\n',
        ['8:1: without a baseline in the block "rounds=2", a budget needs a target'],
    ),
    "unknown quantity": (
        '[[ablate.budget]]\nhold = "flops"\nby = "rounds"\n',
        [
            '2:8: ablate.budget.0.hold: expected one of "parameters", "total_parameters", "steps", "examples", got "flops"'
        ],
    ),
    "limits": (
        STEPS + "at = -1\ntolerance = 0.6\n",
        ['4:6: "at" must be at least 0, not -1', '5:13: "tolerance" must be at most 0.5, not 0.6'],
    ),
    "unknown key": (
        '[[ablate.budget]]\nhold = "steps"\nby = "round"\nat = 9\n',
        ['3:6: "round" is not a key of the arm "s" that takes a whole number'],
    ),
    "a key that is no number": (
        '[[ablate.budget]]\nhold = "steps"\nby = "basis.use"\nat = 9\n',
        ['3:6: "basis.use" is not a key of the arm "s" that takes a whole number'],
    ),
    "the seed": (
        '[[ablate.budget]]\nhold = "steps"\nby = "seed"\nat = 9\n',
        ['3:6: "seed" is not a key of the arm "s" that takes a whole number'],
    ),
    "the grid sets the key": (
        "grid.rounds = [1, 2]\n" + STEPS + "at = 80\n",
        ['4:6: "rounds" is solved for, but the arm "rounds=1" sets it too'],
    ),
    "the block sets the key": (
        "across.rounds = [1, 2]\n" + STEPS + "at = 80\n",
        ['4:6: "rounds" is solved for, but the block "rounds=1" sets it too'],
    ),
    "a condition sets the key": (
        '[[ablate.when]]\nmatch."basis.use" = "rotate"\nset.rounds = 3\n' + STEPS + "at = 80\n",
        ['6:6: "rounds" is solved for, but a condition sets it too'],
    ),
    "the key is tuned": (
        "tune.rounds = [1, 2]\n" + STEPS + "at = 80\n",
        ['4:6: "rounds" is solved for, but it is tuned in the arm "s"'],
    ),
    "the target depends on tuning": (
        BASES + "tune.rounds = [1, 2]\n" + '[[ablate.budget]]\nhold = "steps"\nby = "optimizer.steps"\n',
        ["4:1: steps of the baseline depend on its tuning: 40, 80"],
    ),
    "between two values": (
        UNEVEN + STEPS + "at = 80\n",
        [
            '9:6: "x": optimiser steps in all rounds cannot be 80; the nearest is 85, with rounds = 5',
            '9:6: "y": optimiser steps in all rounds cannot be 80; the nearest is 77, with rounds = 11',
        ],
    ),
    "beyond what is legal": (
        STEPS + "at = 10_000_000\n",
        [
            '3:6: "s": optimiser steps in all rounds cannot be 10000000; the nearest is 4000000, with rounds = 100000'
        ],
    ),
    "a quantity that the key does not change": (
        NUMBERS + "at = 1000\n",
        ['3:6: "s": parameters trained in a round cannot be 1000; the nearest is 8, with adapter.rank = 4'],
    ),
    "more directions than there are": (
        XS + NUMBERS + "at = 100\n",
        ['6:6: "x": parameters trained in a round cannot be 100; the nearest is 64, with adapter.rank = 8'],
    ),
    "a faulty arm": (
        'grid."adapter.use" = ["lora-xs", "lora-xx"]\n' + NUMBERS + "at = 64\n",
        ['1:34: unknown adapter plugin "lora-xx"'],
    ),
}


@pytest.mark.parametrize("situation", REFUSED)
def test_budget_that_cannot_be_held_is_a_fault(study_faults: Faults, situation: str) -> None:
    text, messages = REFUSED[situation]
    assert study_faults("seeds = 1\n" + text) == [_one_lower(message) for message in messages]


def _one_lower(message: str) -> str:
    line, _, rest = message.partition(":")
    return f"{int(line) + 1}:{rest}"


def test_budget_applies_only_to_matching_arms(read_study: Read) -> None:
    text = "seeds = 1\n" + UNEVEN + STEPS + 'at = 70\nmatch."optimizer.steps" = 7\n'
    study = read_study(text)
    assert [cell.spec.rounds for cell in study.cells] == [2, 10]
    assert [arm.solved for arm in study.record.arms] == [{}, {"rounds": 10}]


CELLS = """\
name = "s"
rounds = 3
task.use = "cell-clouds"
model = {use = "mlp", hidden = [8, 8], epochs = 1}
optimizer = {steps = 4, batch_size = 16}
sampler.use = "cell-gated"
[ablate]
seeds = 1
grid.adapter = [
  {use = "tinylora", rank = 2, u = 3},
  {use = "tinylora", rank = 2, u = 5, tie = "all"},
  {use = "lora-xs", rank = 2},
  {use = "lora", rank = 1},
  {use = "full"},
]
"""


def test_budget_quantities_match_runs(tmp_path: Path) -> None:
    """Numbers a round, and steps, against the record of every round of real runs."""
    registry = Registry.load((PLUGIN,))
    (tmp_path / "s.toml").write_text(CELLS)
    for cell in load_study(tmp_path / "s.toml", registry, tmp_path / "runs").cells:
        directory = RunDirectory.create(tmp_path / cell.record.key, cell.spec)
        boost(prepare(cell.spec), directory, registry, RunContext())
        rounds = [record for record in directory.records if record.round]
        assert len(rounds) == 3
        assert {record.parameters for record in rounds} == {measure(cell.spec, "parameters")}
        assert sum(record.parameters for record in rounds) == measure(cell.spec, "total_parameters")
        assert measure(cell.spec, "steps") == 4 * len(rounds)
        assert measure(cell.spec, "examples") == 16 * 4 * len(rounds)
