"""What `[ablate]` accepts and what comes of it; what it refuses, and the whole of what is said, and where."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from boostlora.engine.study.study_loader import Study

Read = Callable[..., Study]
Faults = Callable[..., list[str]]

BASES = 'grid."basis.use" = ["rotate", "fixed"]\n'

# Accepted, with its cells as `arm · block · tuned · seed`; refused, with its message.
PAIRS: dict[str, tuple[str, list[str], str, str]] = {
    "grid": (
        "seeds = 1\n" + BASES,
        ["rotate · seed 0", "fixed · seed 0"],
        'grid."basis.use" = ["rotate", "fixd"]\n',
        '1:31: unknown basis plugin "fixd"',
    ),
    "grid of two keys": (
        'seeds = 1\ngrid.rounds = [1, 2]\ngrid."adapter.rank" = [2, 4]\n',
        [f"rounds={t}, rank={r} · seed 0" for t in (1, 2) for r in (2, 4)],
        'grid.rounds = [1, 2]\ngrid."adapter.rank" = [2, 4, "8"]\n',
        '2:30: adapter.rank: expected a whole number, got "8"',
    ),
    "grid of tables": (
        'seeds = 1\ngrid.adapter = [{use = "tinylora", rank = 4}, {use = "lora", rank = 2}]\n',
        ["tinylora, rank=4 · seed 0", "lora, rank=2 · seed 0"],
        'grid.adapter = [{use = "tinylora"}, {use = "lora", u = 2}]\n',
        '1:52: unknown key "u"',
    ),
    "grid of an option that one plugin lacks": (
        'seeds = 1\ngrid."adapter.use" = ["tinylora", "lora-xs"]\ngrid."adapter.rank" = [2]\n',
        ["tinylora, rank=2 · seed 0", "lora-xs, rank=2 · seed 0"],
        'grid."adapter.use" = ["tinylora", "lora-xs"]\ngrid."adapter.u" = [2]\n',
        '2:21: unknown key "u"',
    ),
    "grid of lists": (
        'seeds = 1\ngrid."model.hidden" = [[8], [16, 8]]\n',
        ["hidden=[8] · seed 0", "hidden=[16, 8] · seed 0"],
        'grid."model.hidden" = [[8], [16, "8"]]\n',
        '1:34: model.hidden.1: expected a whole number, got "8"',
    ),
    "grid of booleans": (
        'seeds = 1\ngrid."optimizer.use" = ["sgd"]\ngrid."optimizer.nesterov" = [true, false]\n',
        ["sgd, nesterov=true · seed 0", "sgd, nesterov=false · seed 0"],
        'grid."optimizer.use" = ["sgd"]\ngrid."optimizer.nesterov" = [true, 0]\n',
        "2:36: optimizer.nesterov: expected true or false, got 0",
    ),
    "grid that is a table": (
        "seeds = 1\ngrid = {}\n",
        ["s · seed 0"],
        "grid = [1]\n",
        "1:8: ablate.grid must be a table of keys, got [1]",
    ),
    "grid's list": (
        "seeds = 1\ngrid.rounds = [1]\n",
        ["rounds=1 · seed 0"],
        "grid.rounds = 1\n",
        "1:15: rounds: expected a list of values, got 1",
    ),
    "a value once": (
        "seeds = 1\ngrid.rounds = [1]\n",
        ["rounds=1 · seed 0"],
        "grid.rounds = [1, 1]\n",
        "1:15: rounds: a value is given twice",
    ),
    "a table with keys": (
        'seeds = 1\ngrid.adapter = [{use = "lora"}]\n',
        ["lora · seed 0"],
        'grid.adapter = [{}, {use = "lora"}]\n',
        "1:17: adapter: an empty table sets nothing",
    ),
    "keys that vary": (
        "seeds = 1\ngrid.rounds = [1]\n",
        ["rounds=1 · seed 0"],
        'grid.trackers.mlflow.uri = ["a"]\n',
        '1:1: "trackers.mlflow.uri" cannot vary within a study',
    ),
    "seeds in a grid": (
        "seeds = [3]\n",
        ["s · seed 3"],
        "grid.seed = [1, 2]\n",
        "1:1: seeds are given by ablate.seeds",
    ),
    "zip": (
        'seeds = 1\nzip."adapter.use" = ["tinylora", "lora"]\nzip."adapter.rank" = [4, 2]\n',
        ["tinylora, rank=4 · seed 0", "lora, rank=2 · seed 0"],
        'zip."adapter.use" = ["tinylora", "lora"]\nzip."adapter.rank" = [4]\n',
        "1:1: zipped lists differ in length (adapter.use: 2, adapter.rank: 1)",
    ),
    "two zips": (
        'seeds = 1\nzip = [{rounds = [1, 2]}, {"basis.use" = ["fixed"]}]\n',
        ["rounds=1, fixed · seed 0", "rounds=2, fixed · seed 0"],
        'zip = [{rounds = [1, 2]}, {"basis.use" = ["fixed", 3]}]\n',
        "1:52: basis.use: expected a string, got 3",
    ),
    "case": (
        'seeds = 1\n[[ablate.case]]\nname = "a"\nset.rounds = 3\nset."basis.use" = "fixed"\n',
        ["a · seed 0"],
        '[[ablate.case]]\nname = "a"\nset.rounds = "3"\n',
        '3:14: rounds: expected a whole number, got "3"',
    ),
    "case's name": (
        'seeds = 1\ncase = {name = "a"}\n',
        ["a · seed 0"],
        "[[ablate.case]]\nset.rounds = 3\n",
        '1:1: missing key "name"',
    ),
    "case's keys": (
        'seeds = 1\ncase = [{name = "a"}, {name = "b"}]\n',
        ["a · seed 0", "b · seed 0"],
        'case = [{name = "a", sets = {}}]\n',
        '1:22: unknown key "sets"',
    ),
    "when drops": (
        "seeds = 1\n" + BASES + '[[ablate.when]]\nmatch."basis.use" = "fixed"\ndrop = true\n',
        ["rotate · seed 0"],
        'seeds = 1\n[[ablate.when]]\nmatch."basis.use" = "rotate"\ndrop = true\n',
        "0:1: every arm is dropped by a condition",
    ),
    "when matches": (
        "seeds = 1\n" + BASES + '[[ablate.when]]\nmatch.rounds = [2, 3]\nset."optimizer.lr" = 1\n',
        ["rotate · seed 0", "fixed · seed 0"],
        BASES + '[[ablate.when]]\nmatch.rounds = [3, 4]\nset."optimizer.lr" = 1\n',
        "3:1: matches no arm: rounds = [3, 4]",
    ),
    "when does something": (
        'seeds = 1\n[[ablate.when]]\nmatch.rounds = 2\ntune."optimizer.lr" = [0.1, 0.2]\n',
        ["s · lr=0.1 · seed 0", "s · lr=0.2 · seed 0"],
        "[[ablate.when]]\nmatch.rounds = 2\n",
        "1:1: a condition must drop, set or tune something",
    ),
    "when sets": (
        'seeds = 1\n[[ablate.when]]\nmatch.rounds = 2\nset."optimizer.lr" = 0.1\n',
        ["s · seed 0"],
        BASES + '[[ablate.when]]\nmatch.rounds = 2\nset."optimizer.lr" = -1\n',
        '4:22: "lr" must be more than 0, not -1.0',
    ),
    "across": (
        "seeds = 1\n" + BASES + 'across."task.angle" = [45, 90]\n',
        [f"{arm} · angle={angle} · seed 0" for angle in (45, 90) for arm in ("rotate", "fixed")],
        BASES + 'across."task.angle" = [45, "90"]\n',
        '2:28: task.angle: expected a number, got "90"',
    ),
    "tune": (
        'seeds = 2\ntune."optimizer.lr" = [0.1, 0.3]\n',
        [f"s · lr={lr} · seed {seed}" for lr in (0.1, 0.3) for seed in (0, 1)],
        'tune."optimizer.lr" = [0.1, 0]\n',
        '1:29: "lr" must be more than 0, not 0.0',
    ),
    "seeds": (
        "seeds = 3\n",
        [f"s · seed {i}" for i in range(3)],
        "seeds = 1001\n",
        "1:9: seeds must be between 1 and 1000, or a list",
    ),
    "seeds by default": (
        "",
        [f"s · seed {i}" for i in range(5)],
        "seeds = 0\n",
        "1:9: seeds must be between 1 and 1000, or a list",
    ),
    "seeds in a list": (
        "seeds = [7, 2]\n",
        ["s · seed 7", "s · seed 2"],
        "seeds = [7, 7]\n",
        "1:9: seeds must be different whole numbers of at least 0, at least one, at most 1000",
    ),
    "seeds of at least 0": (
        "seeds = [0]\n",
        ["s · seed 0"],
        "seeds = [-1]\n",
        "1:9: seeds must be different whole numbers of at least 0, at least one, at most 1000",
    ),
    "some seed": (
        "seeds = 1\n",
        ["s · seed 0"],
        "seeds = []\n",
        "1:9: seeds must be different whole numbers of at least 0, at least one, at most 1000",
    ),
    "seeds of a type": (
        "seeds = [1]\n",
        ["s · seed 1"],
        "seeds = true\n",
        "1:9: ablate.seeds: expected a whole number or a list, each item a whole number, got true",
    ),
}


@pytest.mark.parametrize("situation", PAIRS)
def test_ablate_valid_table_gives_the_expected_cells(read_study: Read, situation: str) -> None:
    accepted, cells, _, _ = PAIRS[situation]
    assert [cell.label for cell in read_study(accepted).record.cells] == cells


@pytest.mark.parametrize("situation", PAIRS)
def test_ablate_invalid_table_is_one_fault_at_its_position(study_faults: Faults, situation: str) -> None:
    _, _, refused, message = PAIRS[situation]
    assert study_faults(refused) == [message]
