"""What `[ablate]` says of how arms are compared and where cells are run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from boostlora.engine.study.study_loader import Study

Read = Callable[..., Study]
Faults = Callable[..., list[str]]

BASES = 'grid."basis.use" = ["rotate", "fixed"]\ngrid.rounds = [1, 2]\n'

# Accepted, with the field of the record and its value; refused, with its message.
PAIRS: dict[str, tuple[str, str, object, str, str]] = {
    "baseline by label": (
        'baseline = "fixed, rounds=2"\n',
        "baseline",
        "fixed, rounds=2",
        'baseline = "fixed"\n',
        '3:12: no arm is called "fixed"',
    ),
    "baseline by keys": (
        'baseline."basis.use" = "fixed"\nbaseline.rounds = 1\n',
        "baseline",
        "fixed, rounds=1",
        'baseline."basis.use" = "fixed"\n',
        "3:1: describes 2 arms, not one: fixed, rounds=1, fixed, rounds=2",
    ),
    "baseline that there is": (
        "baseline = {}\n",
        "baseline",
        None,
        "baseline.rounds = 7\n",
        "3:1: describes 0 arms, not one",
    ),
    "baseline of a type": (
        'baseline = ""\n',
        "baseline",
        None,
        "baseline = 3\n",
        "3:12: ablate.baseline: expected an arm's label or a table of keys, got 3",
    ),
    "metric": (
        'metric = "loss"\n',
        "metric",
        "loss",
        'metric = "los"\n',
        '3:10: ablate.metric: expected one of "accuracy", "loss", "auprc", "auroc", "balanced_accuracy", "calibration_error", "f1", "macro_f1", "mcc", got "los"; did you mean "loss"?',
    ),
    "split": (
        'split = "validation"\n',
        "split",
        "validation",
        'split = "train"\n',
        '3:9: ablate.split: expected one of "test", "validation", got "train"',
    ),
    "at": (
        'at = "best"\n',
        "at",
        "best",
        'at = "first"\n',
        '3:6: ablate.at: expected one of "last", "best", got "first"',
    ),
    "confidence": (
        "confidence = 0.9\n",
        "confidence",
        0.9,
        "confidence = 1\n",
        '3:14: "confidence" must be more than 0 and less than 1, not 1.0',
    ),
    "executor": (
        'executor.use = "slurm"\n',
        "executor",
        "slurm",
        'executor.use = "slumr"\n',
        '3:1: unknown executor plugin "slumr"',
    ),
    "executor's options": (
        "executor.workers = 3\n",
        "executor_options",
        {"workers": 3, "threads": 0},
        "executor.worker = 3\n",
        '3:1: unknown key "worker"',
    ),
    "executor's table": (
        "executor = {}\n",
        "executor",
        "local",
        'executor = "local"\n',
        '3:12: ablate.executor must be a table, got "local"',
    ),
    "executor's name": (
        'executor.use = "local"\n',
        "executor",
        "local",
        "executor.use = 3\n",
        "3:16: ablate.executor.use: expected a string, got 3",
    ),
}


@pytest.mark.parametrize("situation", PAIRS)
def test_ablate_valid_comparison_is_recorded(read_study: Read, situation: str) -> None:
    accepted, field, value, _, _ = PAIRS[situation]
    assert getattr(read_study("seeds = 1\n" + BASES + accepted).record, field) == value


@pytest.mark.parametrize("situation", PAIRS)
def test_ablate_invalid_comparison_is_one_fault_at_its_position(study_faults: Faults, situation: str) -> None:
    _, _, _, refused, message = PAIRS[situation]
    assert study_faults(BASES + refused) == [message]


def test_ablate_that_is_no_table_is_one_fault(read_study: Read) -> None:
    with pytest.raises(Exception, match=r"s\.toml:1:10: ablate must be a table, got 3"):
        read_study("", base='ablate = 3\ntask.use = "digits"\nmodel.use = "mlp"\n')


def test_ablate_reports_faults_of_all_parts_at_once(study_faults: Faults) -> None:
    text = """\
foo = 1
metric = "los"
seeds = 0
grid."basis.use" = ["rotate", "fixd"]
grid.rounds = 3
zip."adapter.rank" = ["4"]
tune."optimizer.lr" = [0.1, "x"]
executor.workers = "many"
[[ablate.case]]
name = ""
[[ablate.when]]
drop = true
[[ablate.budget]]
hold = 3
by = "rounds"
[stop]
patiens = 1
"""
    assert study_faults(text) == [
        '1:1: unknown key "foo"',
        '2:10: ablate.metric: expected one of "accuracy", "loss", got "los"; did you mean "loss"?',
        "3:9: seeds must be between 1 and 1000, or a list",
        '4:31: unknown basis plugin "fixd"',
        "5:15: rounds: expected a list of values, got 3",
        '6:23: adapter.rank: expected a whole number, got "4"',
        '7:29: optimizer.lr: expected a number, got "x"',
        '8:20: ablate.executor.workers: expected a whole number, got "many"',
        "10:8: \"name\" must be 1 to 100 printable characters, not ''",
        '11:1: missing key "match"',
        '14:8: ablate.budget.0.hold: expected one of "parameters", "total_parameters", "steps", "examples", got 3',
        '17:1: unknown key "patiens"',
    ]


def test_ablate_fault_of_many_cells_is_reported_once(study_faults: Faults) -> None:
    text = 'seeds = 9\ngrid.rounds = [1, 2, 3]\ngrid."basis.use" = ["rotate", "fixd"]\ntune."optimizer.lr" = [1, 2]\n'
    assert study_faults(text) == ['3:31: unknown basis plugin "fixd"']
