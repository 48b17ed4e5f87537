"""What is read of a run's result and origin is vouched for: changed after it was written, it is refused by all who read it."""

import json
import shutil

import pytest

from boostlora.engine.errors import RunError
from boostlora.engine.foundation.sealed import read_sealed, write_sealed
from boostlora.engine.runs.directory import RunDirectory

from ..support.record_toys import ROUNDS, clone

OTHER = {"status": "converged", "reason": "so", "rounds": 3, "best_round": 0, "digest": "0" * 64}
READERS = {
    "show": ("show", "RUN"),
    "show --json": ("show", "RUN", "--json"),
    "compare best": ("compare", "RUN@best", "RUN@0", "--examples", "0"),
    "compare": ("compare", "RUN", "RUN@0", "--examples", "0"),
    "resume": ("resume", "RUN"),
    "export": ("export", "RUN", "--to", "boost"),
    "evaluate": ("evaluate", "RUN"),
}


def change(path, key, value):
    content = json.loads(path.read_text())
    assert content[key] != value
    path.write_text(json.dumps({**content, key: value}, indent=2) + "\n")


@pytest.mark.parametrize("key", OTHER)
def test_changed_result_is_refused(key, toy, tmp_path):
    path = clone(toy.path("whole"), tmp_path / "run")
    change(path / "result.json", key, OTHER[key])
    with pytest.raises(RunError, match=r"result\.json: damaged or altered: its seal does not match"):
        RunDirectory.open(path).result()


@pytest.mark.parametrize("key", ["rounds", "best_round"])
def test_resealed_result_must_match_the_rounds(key, toy, tmp_path):
    path = clone(toy.path("whole"), tmp_path / "run")
    honest = RunDirectory.open(path).result()
    assert (honest["rounds"], honest["best_round"]) == (ROUNDS, honest["best_round"])
    for wrong in (honest[key] - 1, 99, "4", None):
        write_sealed(path / "result.json", {**honest, key: wrong})
        with pytest.raises(RunError, match=f"{key} is {wrong!r}, but {honest[key]} according to the rounds"):
            RunDirectory.open(path).result()


@pytest.mark.parametrize("name", ["result.json", "provenance.json"])
def test_file_without_its_seal_is_refused(name, toy, tmp_path):
    path = clone(toy.path("whole"), tmp_path / "run")
    content = json.loads((path / name).read_text())
    del content["seal"]
    (path / name).write_text(json.dumps(content))
    directory = RunDirectory.open(path)
    with pytest.raises(RunError, match="it has no seal"):
        directory.result() if name == "result.json" else directory.provenance()


def test_changed_provenance_is_refused(toy, tmp_path):
    path = clone(toy.path("whole"), tmp_path / "run")
    whole = read_sealed(path / "provenance.json", ())
    for key in whole:
        shutil.copy(toy.path("whole") / "provenance.json", path)
        change(path / "provenance.json", key, "other")
        with pytest.raises(RunError, match=r"provenance\.json: damaged or altered"):
            RunDirectory.open(path).provenance()


def test_provenance_of_another_run_is_refused(desk, toy):
    desk.place(toy.path("whole"))
    moved = clone(desk.path, desk.path.with_name("0" * 12))
    assert RunDirectory.open(desk.path).provenance() is not None
    with pytest.raises(RunError, match=r"provenance\.json: of another run: its spec is "):
        RunDirectory.open(moved).provenance()


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_refuses_an_altered_best_round(reader, desk, toy):
    desk.place(toy.path("whole"))
    change(desk.path / "result.json", "best_round", 99)
    answer = desk.command(*(word.replace("RUN", str(desk.path)) for word in READERS[reader]))
    assert answer.returncode == 3
    assert answer.stderr.startswith(f"error: {desk.path}/result.json: damaged or altered")


def test_rounds_finished_after_opening_are_read(toy, tmp_path):
    path = clone(toy.path("half"), tmp_path / "run")
    directory = RunDirectory.open(path)
    shutil.copytree(toy.path("whole"), path, dirs_exist_ok=True)
    result = directory.result()
    assert (result["rounds"], len(directory.records)) == (ROUNDS, ROUNDS + 1)


def test_seal_covers_the_parsed_content(tmp_path):
    content = {"b": (1, 2.5), "a": {"ü": None, "x": [True]}}
    write_sealed(tmp_path / "f.json", content)
    assert read_sealed(tmp_path / "f.json", ("a",)) == {"b": [1, 2.5], "a": {"ü": None, "x": [True]}}
    assert read_sealed(tmp_path / "none.json", ("a",)) is None
