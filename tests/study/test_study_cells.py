"""A cell is found by what it is, wherever it was run; a study's hash tells whether its cells or its comparison changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from boostlora.engine.study.study_loader import Study, known_runs

from ..support.endings import leave_result

Read = Callable[..., Study]

BASE = 'task.use = "digits"\nmodel.use = "mlp"\nmodel.hidden = [8]\nrounds = 2\n'
BASES = 'seeds = 2\ngrid."basis.use" = ["rotate", "fixed"]\n'


def keys(study: Study) -> list[str]:
    return [cell.key for cell in study.record.cells]


@pytest.mark.parametrize(
    "head",
    ['name = "other"\n', 'description = "words"\n', 'trackers.tensorboard.folder = "x"\n', "seed = 0\n"],
)
def test_cells_do_not_depend_on_unhashed_keys(read_study: Read, head: str) -> None:
    plain = read_study("[ablate]\n" + BASES, base=BASE)
    other = read_study("[ablate]\n" + BASES + "executor.workers = 3\n", base=head + BASE)
    assert keys(other) == keys(plain)
    assert other.record.sha256 == plain.record.sha256


def test_cells_equal_runs_of_the_plain_spec(read_study: Read) -> None:
    study = read_study("[ablate]\nseeds = [4]\n", base=BASE)
    other = read_study("[ablate]\nseeds = 1\n", base="seed = 4\n" + BASE, name="other.toml")
    assert keys(study) == keys(other) == [study.cells[0].spec.short_hash]


SAME = {
    "quotes": 'seeds = 2\ngrid.basis.use = ["rotate", "fixed"]\n',
    "baseline by keys": BASES + "baseline = {}\n",
    "defaults written out": BASES + 'metric = "accuracy"\nsplit = "test"\nat = "last"\nconfidence = 0.95\n',
    "executor": BASES + 'executor.use = "ray"\n',
    "seeds in a list": BASES.replace("2", "[0, 1]", 1),
}
OTHER = {
    "another seed": BASES.replace("2", "3", 1),
    "another arm": BASES.replace('"fixed"', '"fixed", "random"'),
    "another order of arms": BASES.replace('"rotate", "fixed"', '"fixed", "rotate"'),
    "baseline": BASES + 'baseline = "fixed"\n',
    "metric": BASES + 'metric = "loss"\n',
    "split": BASES + 'split = "validation"\n',
    "at": BASES + 'at = "best"\n',
    "confidence": BASES + "confidence = 0.9\n",
    "tuning": BASES + 'tune."optimizer.lr" = [0.1, 0.2]\n',
}


@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_study_hash_of_the_same_comparison_is_the_same(read_study: Read, text: str) -> None:
    assert read_study(text).record.sha256 == read_study(BASES).record.sha256


def test_study_hash_depends_on_the_comparison(read_study: Read) -> None:
    found = [read_study(text).record.sha256 for text in (BASES, *OTHER.values())]
    assert len(set(found)) == len(found)


def test_arms_with_equal_specs_share_cells_and_are_noted(read_study: Read) -> None:
    study = read_study("seeds = 2\ncase = [{name = 'a'}, {name = 'b', set = {rounds = 2}}]\n")
    assert len(study.cells) == 4
    assert len(study.distinct) == 2
    assert "a and b are the same experiment" in study.record.notes


def leave(runs: Path, folder: str, status: str = "") -> None:
    """A run's folder, with a result where it ended."""
    place = runs / folder
    place.mkdir(parents=True)
    (place / "spec.toml").write_text("")
    if status:
        leave_result(place, status)


KNOWN = {
    "none": ([], "s/k"),
    "a plain run": ([("quickstart/k", "completed")], "quickstart/k"),
    "an interrupted run": ([("quickstart/k", "")], "quickstart/k"),
    "its own": ([("s/k", ""), ("a/k", ""), ("z/k", "")], "s/k"),
    "its own finished": ([("s/k", "completed"), ("a/k", "completed"), ("z/k", "completed")], "s/k"),
    "a finished one first": ([("s/k", ""), ("z/k", "converged")], "z/k"),
    "a finished one, whatever follows": ([("a/k", "completed"), ("b/k", ""), ("c/k", "failed")], "a/k"),
    "a failed one is none that finished": ([("s/k", ""), ("a/k", "failed")], "s/k"),
    "another cell": ([("a/other", "completed")], "s/k"),
    "one set aside": ([("a/k.old-1", "completed")], "s/k"),
}


@pytest.mark.parametrize("situation", KNOWN)
def test_known_runs_of_a_cell_are_found_in_any_folder(runs: Path, situation: str) -> None:
    there, expected = KNOWN[situation]
    for folder, status in there:
        leave(runs, folder, status)
    assert known_runs(runs, {"k"}, "s") == {"k": expected}


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "{}"])
def test_known_runs_of_a_damaged_result_are_not_finished(runs: Path, text: str) -> None:
    leave(runs, "a/k")
    (runs / "a/k/result.json").write_text(text)
    leave(runs, "b/k", "completed")
    assert known_runs(runs, {"k"}, "s") == {"k": "b/k"}


def test_study_finds_a_finished_cell_of_another_study(read_study: Read, runs: Path) -> None:
    first, second = keys(read_study("seeds = 2\n"))
    leave(runs, f"elsewhere/{second}", "completed")
    assert [cell.folder for cell in read_study("seeds = 2\n").record.cells] == [
        f"s/{first}",
        f"elsewhere/{second}",
    ]
