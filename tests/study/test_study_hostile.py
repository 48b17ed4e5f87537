"""Tables that are too large, strangely written, or of the wrong shape: refused quickly, and never a traceback."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from boostlora.engine.spec import SpecError
from boostlora.engine.study.assignments import Assignment
from boostlora.engine.study.record import setting_text
from boostlora.engine.study.study_loader import Study

Read = Callable[..., Study]
Faults = Callable[..., list[str]]

TEN = "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]"
QUICK = 5.0
"""Seconds that no refusal takes, even where the machine is busy; to expand what is refused here would take days."""

HUGE = {
    "grid": (
        "".join(f'grid."a{i}.b" = {TEN}\n' for i in range(10)),
        "0:1: 10,000,000,000 arms; a study has at most 100,000 cells",
    ),
    "zips": (
        "zip = [" + ", ".join(f'{{"a{i}.b" = {TEN}}}' for i in range(10)) + "]\n",
        "0:1: 10,000,000,000 arms; a study has at most 100,000 cells",
    ),
    "across": (
        "".join(f'across."a{i}.b" = {TEN}\n' for i in range(9)),
        "1:1: 1,000,000,000 blocks; a study has at most 100,000 cells",
    ),
    "tune": (
        "seeds = 1\n" + "".join(f'tune."a{i}.b" = {TEN}\n' for i in range(9)),
        "0:1: 1,000,000,000 cells; a study has at most 100,000",
    ),
    "tune of a condition": (
        "seeds = 1\n[[ablate.when]]\nmatch.rounds = 2\n"
        + "".join(f'tune."a{i}.b" = {TEN}\n' for i in range(9)),
        "0:1: 1,000,000,000 cells; a study has at most 100,000",
    ),
    "all together": (
        f'seeds = 1000\ngrid.rounds = {TEN}\ntune."optimizer.lr" = {TEN}\nacross."task.angle" = {TEN}\n',
        "0:1: 1,000,000 cells; a study has at most 100,000",
    ),
}


@pytest.mark.parametrize("situation", HUGE)
def test_ablate_too_many_cells_are_refused_at_once(study_faults: Faults, situation: str) -> None:
    written, message = HUGE[situation]
    start = time.process_time()
    assert study_faults(written) == [message]
    assert time.process_time() - start < QUICK


def test_ablate_thousand_seeds_are_a_thousand_cells(read_study: Read) -> None:
    study = read_study("seeds = 1000\n")
    assert len({cell.key for cell in study.record.cells}) == 1000


def test_ablate_seeds_beyond_64_bits_are_refused(study_faults: Faults, read_study: Read) -> None:
    assert study_faults("seeds = [9223372036854775807]\n") == []
    with pytest.raises(SpecError, match="seeds from 9223372036854775807 on do not fit into 64 bits"):
        read_study(
            "seeds = 2\n",
            base='seed = 9223372036854775807\ntask.use = "digits"\nmodel.use = "mlp"\n[ablate]\n',
        )


STRANGE = {
    "empty key": ('grid."" = [1]\n', ['1:12: unknown key ""']),
    "key that ends in a dot": ('grid."basis." = [1]\n', ['1:18: unknown key ""']),
    "key below a value": ('grid."rounds.x" = [1]\n', ["1:20: rounds: expected a whole number, got a table"]),
    "key with a quote": ('grid."ba\\"sis.use" = ["rotate"]\n', ['1:23: unknown key "ba"sis"']),
    "key with a dot of its own": ("grid.\"basis.'use'\" = [1]\n", ["1:23: unknown key \"'use'\""]),
    "slot that is a number": (
        'grid.basis = [3]\nzip."basis.use" = ["fixed"]\n',
        ['2:1: "basis.use" is in ablate.grid as "basis" already'],
    ),
    "unknown slot": ('grid."basiss.use" = ["fixed"]\n', ['1:22: unknown key "basiss"']),
    "parts of the wrong shape": (
        'grid = "x"\nzip = "y"\ncase = "z"\nwhen = 1\nbudget = [2]\nacross = 3\ntune = [1]\nexecutor = 4\n',
        [
            '1:8: ablate.grid must be a table of keys, got "x"',
            '2:7: ablate.zip must be a table of keys, got "y"',
            '3:8: ablate.case must be a table, got "z"',
            "4:8: ablate.when must be a table, got 1",
            "5:11: ablate.budget must be a table, got 2",
            "6:10: ablate.across must be a table of keys, got 3",
            "7:8: ablate.tune must be a table of keys, got [1]",
            "8:12: ablate.executor must be a table, got 4",
        ],
    ),
    "a date": ("grid.rounds = [1979-05-27]\n", ["1:16: rounds: expected a whole number, got 1979-05-27"]),
    "not a number": (
        'tune."optimizer.lr" = [nan]\n',
        ["1:24: optimizer.lr: expected a finite number, got nan"],
    ),
    "a table in a list in a list": (
        'grid."model.hidden" = [[{a = 1}]]\n',
        ["1:25: model.hidden.0: expected a whole number, got a table"],
    ),
    "the same number twice": (
        "grid.rounds = [1, 1.0]\n",
        ['1:1: two arms are called "rounds=1"', "1:19: rounds: expected a whole number, got 1.0"],
    ),
    "one value for true and 1": (
        "grid.rounds = [1, true]\n",
        ["1:19: rounds: expected a whole number, got true"],
    ),
}


@pytest.mark.parametrize("situation", STRANGE)
def test_ablate_odd_table_is_a_fault_at_its_position(study_faults: Faults, situation: str) -> None:
    written, messages = STRANGE[situation]
    assert study_faults(written) == messages


def test_ablate_empty_parts_are_a_study_of_the_spec_alone(read_study: Read) -> None:
    study = read_study(
        "seeds = 1\ngrid = {}\nzip = [{}]\ncase = []\nwhen = []\nbudget = []\ntune = {}\nacross = {}\n"
    )
    assert [(cell.arm, cell.block) for cell in study.record.cells] == [("s", "")]


NAMES = {"empty": "", "blank": " ", "a line break": "a\\nb", "colour": "a\\u001b[31m", "500": "x" * 500}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_long_or_unprintable_case_name_is_refused(study_faults: Faults, name: str) -> None:
    (fault,) = study_faults(f'[[ablate.case]]\nname = "{name}"\n')
    assert fault.startswith('2:8: "name" must be 1 to 100 printable characters, not ')
    assert len(fault) < 150


def test_case_name_in_any_script_is_a_label(read_study: Read) -> None:
    name = "Größe [4], “naïve” · 秩 🙂"
    assert [arm.label for arm in read_study(f'case = {{name = "{name}"}}\n').record.arms] == [name]


def test_grid_label_of_a_long_list_keeps_both_ends(read_study: Read) -> None:
    lists = ", ".join(f"[{'8, ' * 40}{last}]" for last in (1, 2))
    labels = [arm.label for arm in read_study(f'seeds = 1\ngrid."model.hidden" = [{lists}]\n').record.arms]
    assert len(set(labels)) == 2
    assert all(len(label) < 80 for label in labels)


def test_grid_numbers_that_differ_have_labels_that_differ(read_study: Read) -> None:
    values = "[0.1, 0.1234567, 0.12345678, 1e-7, 100000000.0]"
    labels = [arm.label for arm in read_study(f'seeds = 1\ngrid."optimizer.lr" = {values}\n').record.arms]
    assert labels == ["lr=0.1", "lr=0.1234567", "lr=0.12345678", "lr=1e-07", "lr=1e+08"]


def test_labels_distinguish_keys_of_the_same_name() -> None:
    both = Assignment({"task.path": "a.csv", "model.path": "b", "merge.use": "gate"})
    assert both.label() == "task.path=a.csv, model.path=b, gate"
    assert Assignment({"task.path": "a.csv"}).label() == "path=a.csv"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (True, "true"),
        ("a\tb", "a\\tb"),
        ([1, "x", False], "[1, x, false]"),
        (0.30000000000000004, repr(0.1 + 0.2)),
    ],
)
def test_label_of_a_value_is_toml(value: object, words: str) -> None:
    assert setting_text(value) == words
