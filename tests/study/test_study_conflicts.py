"""Keys that are given in two places: one of them wins where people would expect it, and is a fault where they could not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from boostlora.engine.study.study_loader import Study

Read = Callable[..., Study]
Faults = Callable[..., list[str]]

ROUNDS = "grid.rounds = [1, 2]\n"
ANGLE = 'across."task.angle" = [45, 90]\n'
LR = 'tune."optimizer.lr" = [0.1, 0.3]\n'
CASE = '[[ablate.case]]\nname = "x"\n'
WHEN = '[[ablate.when]]\nmatch."basis.use" = "rotate"\n'

REFUSED = {
    "grid and zip": (ROUNDS + "zip.rounds = [3, 4]\n", '2:1: "rounds" is in ablate.grid already'),
    "two zips": (
        "zip = [{rounds = [1, 2]}, {rounds = [3, 4]}]\n",
        '1:28: "rounds" is in ablate.zip already',
    ),
    "grid and across": (
        ROUNDS + "across.rounds = [1, 2]\n",
        '2:1: "rounds" varies across blocks, but the arm "rounds=1" sets it',
    ),
    "grid and tune": (ROUNDS + "tune.rounds = [1, 2]\n", '2:1: "rounds" is in ablate.grid already'),
    "tune and across": (
        LR + 'across."optimizer.lr" = [1]\n',
        '2:1: "optimizer.lr" varies across blocks, but the arm "s" tunes it',
    ),
    "case and across": (
        ANGLE + CASE + 'set."task.angle" = 0\n',
        '1:1: "task.angle" varies across blocks, but the arm "x" sets it',
    ),
    "a case's set and its tune": (
        CASE + 'set."optimizer.lr" = 1\ntune."optimizer.lr" = [1]\n',
        '4:1: "optimizer.lr" is set by this case already',
    ),
    "a table and its key": (
        'grid.adapter = [{use = "lora"}]\nzip."adapter.use" = ["full"]\n',
        '2:1: "adapter.use" is in ablate.grid already',
    ),
    "quoted and unquoted": (
        'grid."basis.use" = ["rotate"]\ngrid.basis.use = ["fixed"]\n',
        '2:1: "basis.use" is given twice',
    ),
    "quoted and unquoted in a case": (
        CASE + 'set."basis.use" = "rotate"\nset.basis.use = "fixed"\n',
        '4:1: "basis.use" is given twice',
    ),
    "a slot and its key in a grid": (
        'grid.adapter = [{use = "lora"}]\ngrid."adapter.use" = ["full"]\n',
        '2:1: "adapter.use" is given beside "adapter"',
    ),
    "when and the arm": (
        ROUNDS + WHEN + "set.rounds = 3\n",
        '4:1: "rounds" is set by the arm "rounds=1" already',
    ),
    "when and the block": (
        ANGLE + WHEN + 'set."task.angle" = 3\n',
        '4:1: "task.angle" is set by the block "angle=45" already',
    ),
    "when tunes and the arm": (
        ROUNDS + WHEN + "tune.rounds = [3]\n",
        '4:1: "rounds" is set by the arm "rounds=1" already',
    ),
    "when tunes and the case tunes": (
        CASE + 'tune."optimizer.lr" = [2]\n' + WHEN + 'tune."optimizer.lr" = [3]\n',
        '6:1: "optimizer.lr" is set by the arm "x" already',
    ),
    "when sets and the case tunes": (
        CASE + 'tune."optimizer.lr" = [2]\n' + WHEN + 'set."optimizer.lr" = 3\n',
        '6:1: "optimizer.lr" is set by the arm "x" already',
    ),
    "when's set and its tune": (
        WHEN + "set.rounds = 3\ntune.rounds = [3]\n",
        '4:1: "rounds" is set by this condition already',
    ),
    "when matches what is tuned": (
        LR + '[[ablate.when]]\nmatch."optimizer.lr" = 0.1\ndrop = true\n',
        '3:1: "optimizer.lr" is tuned: a condition cannot match it, since the arm has several candidates',
    ),
    "the baseline and what is tuned": (
        'tune.rounds = [2, 3]\nbaseline."basis.use" = "rotate"\nbaseline.rounds = 2\n',
        '3:1: "rounds" is tuned, so it cannot identify an arm',
    ),
    "two arms": (CASE + CASE, '4:8: two arms are called "x"'),
    "a case and an arm of the grid": (
        'grid."basis.use" = ["fixed"]\n[[ablate.case]]\nname = "fixed"\n',
        '3:8: two arms are called "fixed"',
    ),
}


@pytest.mark.parametrize("situation", REFUSED)
def test_ablate_key_in_two_places_is_one_fault(study_faults: Faults, situation: str) -> None:
    text, message = REFUSED[situation]
    assert study_faults("seeds = 1\n" + text) == [f"{int(message[0]) + 1}{message[1:]}"]


def rates(study: Study, arm: str) -> list[object]:
    """Learning rates of an arm's cells, and what of them is tuned."""
    return [
        (cell.spec.optimizer.lr, cell.record.tuning.get("optimizer.lr"))
        for cell in study.cells
        if cell.record.arm == arm
    ]


def test_case_that_sets_a_tuned_key_is_not_tuned(read_study: Read) -> None:
    study = read_study("seeds = 1\n" + LR + CASE + 'set."optimizer.lr" = 0.7\n[[ablate.case]]\nname = "y"\n')
    assert rates(study, "x") == [(0.7, None)]
    assert rates(study, "y") == [(0.1, 0.1), (0.3, 0.3)]


def test_case_with_tune_has_only_its_own_candidates(read_study: Read) -> None:
    study = read_study("seeds = 1\n" + LR + CASE + 'tune."optimizer.lr" = [2]\n')
    assert rates(study, "x") == [(2.0, 2)]


def test_condition_that_sets_a_tuned_key_disables_its_tuning(read_study: Read) -> None:
    grid = 'grid."basis.use" = ["rotate", "fixed"]\n'
    study = read_study("seeds = 1\n" + LR + grid + WHEN + 'set."optimizer.lr" = 0.7\n')
    assert rates(study, "rotate") == [(0.7, None)]
    assert rates(study, "fixed") == [(0.1, 0.1), (0.3, 0.3)]


def test_conditions_on_the_same_key_apply_in_order(read_study: Read) -> None:
    study = read_study(
        "seeds = 1\n" + WHEN + 'set."optimizer.lr" = 0.7\n' + WHEN + 'set."optimizer.lr" = 0.8\n'
    )
    assert rates(study, "s") == [(0.8, None)]


def test_arm_with_another_plugin_drops_options_of_the_old_one(read_study: Read) -> None:
    base = 'task.use = "digits"\nmodel.use = "mlp"\nadapter = {use = "tinylora", rank = 2, u = 3}\n[ablate]\n'
    study = read_study('seeds = 1\ngrid."adapter.use" = ["tinylora", "lora"]\n', base=base)
    assert [cell.spec.as_tree()["adapter"].get("u") for cell in study.cells] == [3, None]
    assert [cell.spec.adapter.rank for cell in study.cells] == [2, 2]
