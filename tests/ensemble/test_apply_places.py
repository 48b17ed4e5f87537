"""Where `boostlora apply` writes: never over something, and nothing at all where it is refused or interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ..support.boost_runs import ToyRun
from ..support.commands import PATIENCE, Command
from .applied import PLUG, left, merged, same


@pytest.mark.parametrize("out", [None, "mine", "file"])
def test_apply_refuses_an_existing_path_before_any_work(
    out: str | None, toy: ToyRun, toy_file: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    boostlora, monkeypatch = map(request.getfixturevalue, ("boostlora", "monkeypatch"))
    place = tmp_path / (out or "toy-merged")
    if out == "file":
        place.write_text("mine")
    else:
        place.mkdir()
        (place / "mine").write_text("mine")
    monkeypatch.setattr("boostlora.engine.ensemble.recipe.Recipe.of", None)  # no round may be made
    answer = boostlora("apply", toy.base, toy_file, *(("--out", place.name) if out else ()), *PLUG)
    told = f"error: {place.name}: exists already, and is not overwritten; choose another path (--out)\n"
    assert (answer.returncode, answer.stderr, answer.stdout) == (2, told, "")
    assert (place if out == "file" else place / "mine").read_text() == "mine"
    assert left(tmp_path) == [place.name]


def test_apply_writes_into_an_empty_folder(
    toy: ToyRun, toy_file: Path, boostlora: Command, tmp_path: Path
) -> None:
    (tmp_path / "toy-merged").mkdir()
    assert boostlora("apply", toy.base, toy_file, *PLUG).returncode == 0
    assert "model.safetensors" in left(tmp_path / "toy-merged")


def test_apply_below_a_file_is_refused(
    toy: ToyRun, toy_file: Path, boostlora: Command, tmp_path: Path
) -> None:
    (tmp_path / "note").write_text("mine")
    answer = boostlora("apply", toy.base, toy_file, "--out", "note/model", *PLUG)
    assert answer.returncode == 2
    assert answer.stderr.startswith("error: note/model: ")
    assert left(tmp_path) == ["note"]


def test_apply_on_another_base_writes_nothing(
    toy: ToyRun, torch_toy_file: Path, toy_file: Path, boostlora: Command, tmp_path: Path
) -> None:
    answer = boostlora("apply", toy_file, toy_file, *PLUG)
    assert answer.returncode == 2
    assert "not the base of" in answer.stderr
    assert "nothing was written" in answer.stderr
    answer = boostlora("apply", tmp_path / "nowhere", toy_file, *PLUG)
    assert (answer.returncode, answer.stdout) == (2, "")
    answer = boostlora("apply", toy.base, tmp_path / "nowhere.safetensors", *PLUG)
    assert (answer.returncode, answer.stderr) == (2, f"error: {tmp_path}/nowhere.safetensors: no such file\n")
    assert left(tmp_path) == []


PAUSED = """
import sys, time
from boostlora.engine.cli import main
from boostlora.plugins.exporters import safetensors

def write(ensemble, folder, files):
    (folder / "half.safetensors").write_bytes(b"half")
    print("paused", flush=True)
    time.sleep(60)

safetensors.write_files = write
sys.argv = ["boostlora", *sys.argv[1:]]
main()
"""


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda n: n.name)
def test_apply_interrupted_while_writing_leaves_no_output_folder(
    number: signal.Signals, toy: ToyRun, toy_file: Path, tmp_path: Path
) -> None:
    arguments = [sys.executable, "-c", PAUSED, "apply", str(toy.base), str(toy_file), *map(str, PLUG)]
    process = subprocess.Popen(
        arguments, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "paused\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE)
    assert not (tmp_path / "toy-merged").exists()
    if number is signal.SIGKILL:  # nobody can clean up after that; it is hidden, and in nobody's way
        assert all(name.startswith(".toy-merged.making-") for name in left(tmp_path))
    else:
        assert (process.returncode, err) == (130, "interrupted; nothing was written\n")
        assert left(tmp_path) == []


def test_apply_succeeds_beside_leftovers_of_a_killed_apply(
    toy: ToyRun, toy_file: Path, boostlora: Command, tmp_path: Path
) -> None:
    (tmp_path / ".toy-merged.making-abc").mkdir()
    assert boostlora("apply", toy.base, toy_file, *PLUG).returncode == 0
    same(tmp_path / "toy-merged", merged(toy))
