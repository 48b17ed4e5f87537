"""`boostlora apply`: the run's merged model, or nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from safetensors.numpy import load_file

from boostlora.backends.torch.store import TorchStore
from boostlora.engine.contracts import Frame, MergedRound
from boostlora.engine.ensemble.recipe import KeptRound, Recipe

from ..support.boost_runs import PLUGIN, ToyRun, forged
from ..support.commands import PATIENCE

Command = Callable[..., Any]
PLUG = ("--plugin", PLUGIN)


def _left(folder: Path) -> list[str]:
    """All that is in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


def _merged(run: ToyRun, rounds: Any = None) -> dict[str, Any]:
    """The base's tensors with the rounds merged, as the store gives them."""
    ensemble = run.ensemble()
    exportable = ensemble.exportable(rounds)
    tensors = load_file(run.base)
    for site in exportable.sites:
        tensors[site.name] = exportable.merged(site.name).astype(np.float32)
    return tensors


def _same(folder: Path, expected: dict[str, Any]) -> None:
    found = load_file(folder / "model.safetensors")
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize("name", ["toy", "torch_toy"])
def test_apply_writes_the_merged_model_of_the_run_bit_by_bit(
    name: str, request: pytest.FixtureRequest, boostlora: Command, tmp_path: Path
) -> None:
    run, file = request.getfixturevalue(name), request.getfixturevalue(f"{name}_file")
    answer = boostlora("apply", run.base, file, *PLUG)
    assert answer.returncode == 0, answer.stderr
    assert "toy-merged: safetensors, " in answer.stdout
    assert "; rounds 1..4" in answer.stdout
    assert "\nbit for bit the merged weights of the run\n" in answer.stdout
    assert "read back and compared: 4 logits of 4 examples" in answer.stdout
    assert _left(tmp_path) == ["toy-merged"]
    _same(tmp_path / "toy-merged", _merged(run))


def test_apply_and_export_of_the_run_write_the_same_file(
    torch_toy: ToyRun, torch_toy_file: Path, boostlora: Command, tmp_path: Path
) -> None:
    assert boostlora("apply", torch_toy.base, torch_toy_file, "--out", "a", *PLUG).returncode == 0
    assert boostlora("export", torch_toy.path, "--to", "safetensors", "--out", "b", *PLUG).returncode == 0
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()


def test_apply_tells_scripts_everything(toy: ToyRun, toy_file: Path, boostlora: Command) -> None:
    answer = boostlora("apply", toy.base, toy_file, "--json", *PLUG)
    assert answer.returncode == 0
    assert answer.stderr == ""
    found = json.loads(answer.stdout)
    assert found.keys() == {
        "to", "path", "rounds", "size", "compared", "usage", "bit_identical", "departure", "allowed",
    }  # fmt: skip
    assert (found["to"], found["path"], found["rounds"]) == ("safetensors", "toy-merged", "1..4")
    assert (found["bit_identical"], found["departure"], found["allowed"]) == (True, 0.0, 1e-3)
    assert found["compared"]["largest"] <= found["compared"]["allowed"]
    assert found["size"] > sum(value.nbytes for value in load_file(toy.base).values())


def test_apply_quietly_tells_the_place_alone(toy: ToyRun, toy_file: Path, boostlora: Command) -> None:
    answer = boostlora("apply", toy.base, toy_file, "--out", "there/model", "-q", *PLUG)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "there/model\n", "")


def test_apply_without_examples_compares_nothing_and_says_so(
    toy: ToyRun, toy_file: Path, boostlora: Command
) -> None:
    answer = boostlora("apply", toy.base, toy_file, "--examples", "0", *PLUG)
    assert answer.returncode == 0
    assert "its logits were not compared with those of the evaluated model" in answer.stdout


def test_apply_by_another_backend_is_near_and_claims_no_more(
    torch_toy: ToyRun, torch_toy_file: Path, boostlora: Command, tmp_path: Path
) -> None:
    answer = boostlora("apply", torch_toy.base, torch_toy_file, "--backend", "reference", "--json", *PLUG)
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert found["bit_identical"] is False
    assert 0.0 < found["departure"] <= 1e-3
    ours, theirs = load_file(tmp_path / "toy-merged/model.safetensors"), _merged(torch_toy)
    base = load_file(torch_toy.base)
    apart = np.sqrt(sum(float(np.sum((ours[n] - theirs[n]) ** 2)) for n in theirs))
    moved = np.sqrt(sum(float(np.sum((base[n] - theirs[n]) ** 2)) for n in theirs))
    assert 0.0 <= apart < 2e-3 * moved


def test_apply_by_another_backend_says_that_it_is_not_the_runs_bits(
    torch_toy: ToyRun, torch_toy_file: Path, boostlora: Command
) -> None:
    answer = boostlora("apply", torch_toy.base, torch_toy_file, "--backend", "reference", *PLUG)
    assert "\nnot bit for bit the run's: rebuilt updates depart by " in answer.stdout
    assert "bit for bit the merged weights of the run" not in answer.stdout


def test_apply_by_a_backend_that_is_not_there_is_refused(
    toy: ToyRun, toy_file: Path, boostlora: Command, tmp_path: Path
) -> None:
    answer = boostlora("apply", toy.base, toy_file, "--backend", "jax", *PLUG)
    assert answer.returncode == 2
    assert 'unknown backend plugin "jax"' in answer.stderr
    assert _left(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "rounds", "told"),
    [
        (["--rounds", "2"], 2, "1..2"),
        (["--rounds", "0"], 0, "0 (the base)"),
        (["--rounds", "2..3"], "2..3", "2..3"),
        (["--rounds", "best"], "best", None),
        (["--drop", "2"], {1: 1.0, 3: 1.0, 4: 1.0}, "1, 3..4"),
        (["--drop", "2,3"], {1: 1.0, 4: 1.0}, "1, 4"),
        (["--weight", "2=0.5"], {1: 1.0, 2: 0.5, 3: 1.0, 4: 1.0}, "1, 2 (x 0.5), 3..4"),
        (["--rounds", "1..3", "--drop", "1", "--weight", "3=-1"], {2: 1.0, 3: -1.0}, "2, 3 (x -1)"),
    ],
)
def test_apply_of_a_selection_is_the_ensembles_own(
    options: list[str], rounds: Any, told: str | None, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    torch_toy, torch_toy_file = map(request.getfixturevalue, ("torch_toy", "torch_toy_file"))
    boostlora = request.getfixturevalue("boostlora")
    answer = boostlora("apply", torch_toy.base, torch_toy_file, *options, "--json", *PLUG)
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert told is None or found["rounds"] == told
    assert found["bit_identical"] is (dict(torch_toy.ensemble().choose(rounds).weights) == dict.fromkeys(range(1, 5), 1.0))  # fmt: skip
    _same(tmp_path / "toy-merged", _merged(torch_toy, rounds))


def test_apply_of_a_file_of_a_selection_is_that_selection_unless_told_otherwise(
    toy: ToyRun, boostlora: Command, tmp_path: Path
) -> None:
    file = toy.ensemble().save(tmp_path / "part.boost.safetensors", {1: 1.0, 3: 0.5})
    answer = boostlora("apply", toy.base, file, "--out", "own", "--json", *PLUG)
    assert json.loads(answer.stdout)["rounds"] == "1, 3 (x 0.5)"
    assert json.loads(answer.stdout)["bit_identical"] is True
    _same(tmp_path / "own", _merged(toy, {1: 1.0, 3: 0.5}))
    assert boostlora("apply", toy.base, file, "--out", "two", "--rounds", "1..2", *PLUG).returncode == 0
    _same(tmp_path / "two", _merged(toy, 2))
    answer = boostlora("apply", toy.base, file, "--out", "four", "--rounds", "4", *PLUG)
    assert (answer.returncode, answer.stderr) == (2, "error: no round 4; there are: 1 to 3\n")


def test_apply_writes_another_dtype_where_asked(
    toy: ToyRun, toy_file: Path, boostlora: Command, tmp_path: Path
) -> None:
    assert boostlora("apply", toy.base, toy_file, "--set", "dtype=float64", *PLUG).returncode == 0
    found = load_file(tmp_path / "toy-merged/model.safetensors")
    exportable = toy.ensemble().exportable()
    for site in exportable.sites:
        assert found[site.name].dtype == np.float64
        np.testing.assert_array_equal(found[site.name], exportable.merged(site.name))


@pytest.mark.parametrize("out", [None, "mine", "file"])
def test_apply_never_overwrites_and_says_so_before_any_work(
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
    told = f"error: {place.name}: is there already, and is not overwritten; choose another place (--out)\n"
    assert (answer.returncode, answer.stderr, answer.stdout) == (2, told, "")
    assert (place if out == "file" else place / "mine").read_text() == "mine"
    assert _left(tmp_path) == [place.name]


def test_apply_into_an_empty_folder_fills_it(
    toy: ToyRun, toy_file: Path, boostlora: Command, tmp_path: Path
) -> None:
    (tmp_path / "toy-merged").mkdir()
    assert boostlora("apply", toy.base, toy_file, *PLUG).returncode == 0
    assert "model.safetensors" in _left(tmp_path / "toy-merged")


def test_apply_below_a_file_is_refused(
    toy: ToyRun, toy_file: Path, boostlora: Command, tmp_path: Path
) -> None:
    (tmp_path / "note").write_text("mine")
    answer = boostlora("apply", toy.base, toy_file, "--out", "note/model", *PLUG)
    assert answer.returncode == 2
    assert answer.stderr.startswith("error: note/model: ")
    assert _left(tmp_path) == ["note"]


def test_apply_on_another_base_writes_nothing(
    toy: ToyRun, torch_toy_file: Path, toy_file: Path, boostlora: Command, tmp_path: Path
) -> None:
    answer = boostlora("apply", toy_file, toy_file, *PLUG)
    assert answer.returncode == 2
    assert "another base than the one that" in answer.stderr
    assert "nothing was written" in answer.stderr
    answer = boostlora("apply", tmp_path / "nowhere", toy_file, *PLUG)
    assert (answer.returncode, answer.stdout) == (2, "")
    answer = boostlora("apply", toy.base, tmp_path / "nowhere.safetensors", *PLUG)
    assert (answer.returncode, answer.stderr) == (2, f"error: {tmp_path}/nowhere.safetensors: no such file\n")
    assert _left(tmp_path) == []


def _turned(angle: float) -> Callable[..., Frame]:
    """Directions of which the first two are turned into each other, as another library might give equal ones."""
    own = TorchStore.directions

    def directions(self: TorchStore, site: str, count: int, updates: Any = ()) -> Frame:
        frame = own(self, site, count, updates)
        turn = np.eye(count)
        turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        return Frame(U=frame.U @ turn, S=frame.S, V=frame.V @ turn)

    return directions


def test_apply_where_rounds_come_out_otherwise_writes_nothing(
    torch_toy: ToyRun,
    torch_toy_file: Path,
    boostlora: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = torch_toy.base
    monkeypatch.setenv("BOOSTLORA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(TorchStore, "directions", _turned(0.3))
    answer = boostlora("apply", base, torch_toy_file, *PLUG)
    assert answer.returncode == 4
    assert "its rounds come out otherwise here: they depart by " in answer.stderr
    assert "a file that was made with --with-factors does not depend on them" in answer.stderr
    assert _left(tmp_path) == ["cache"]


def test_apply_within_the_tolerance_is_written_and_told(
    torch_toy: ToyRun,
    torch_toy_file: Path,
    boostlora: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = torch_toy.base
    monkeypatch.setenv("BOOSTLORA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(TorchStore, "directions", _turned(1e-4))
    answer = boostlora("apply", base, torch_toy_file, "--json", *PLUG)
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert found["bit_identical"] is False
    assert 1e-6 < found["departure"] < 1e-3
    again = boostlora("apply", base, torch_toy_file, "--tolerance", "1e-7", "--out", "strict", *PLUG)
    assert again.returncode == 4
    assert _left(tmp_path) == ["cache", "toy-merged"]
    loose = boostlora("apply", base, torch_toy_file, "--tolerance", "0.5", "--out", "loose", "--json", *PLUG)
    assert json.loads(loose.stdout)["allowed"] == 0.5


def test_apply_of_rounds_that_were_not_chosen_holds_them_to_the_run_too(
    torch_toy: ToyRun, boostlora: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = torch_toy.ensemble().save(tmp_path / "last.boost.safetensors", rounds="3..3")
    monkeypatch.setenv("BOOSTLORA_CACHE", str(tmp_path / "cache"))
    whole = boostlora("apply", torch_toy.base, file, "--rounds", "1..2", "--out", "whole", *PLUG)
    assert whole.returncode == 0, whole.stderr
    made = Recipe.made

    def other(self: Recipe, kept: KeptRound) -> MergedRound:
        return attrs.evolve(made(self, kept), updates={} if kept.number == 1 else made(self, kept).updates)

    monkeypatch.setattr(Recipe, "made", other)
    assert (
        boostlora("apply", torch_toy.base, file, "--rounds", "1..2", "--out", "lacking", *PLUG).returncode
        == 4
    )
    assert not (tmp_path / "lacking").exists()


def test_apply_of_a_file_with_factors_does_not_depend_on_directions(
    torch_toy: ToyRun, boostlora: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = torch_toy.ensemble().save(tmp_path / "f.boost.safetensors", with_factors=True)
    base, expected = torch_toy.base, _merged(torch_toy)
    monkeypatch.setattr(TorchStore, "directions", _turned(0.3))
    answer = boostlora("apply", base, file, "--json", *PLUG)
    assert json.loads(answer.stdout)["bit_identical"] is True
    _same(tmp_path / "toy-merged", expected)


def test_apply_of_a_file_from_a_device_that_is_not_here_says_so(
    torch_toy: ToyRun, torch_toy_file: Path, boostlora: Command, tmp_path: Path
) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")

    def cuda(content: Any, arrays: Any) -> None:
        content["spec"] = content["spec"].replace('device = "auto"', 'device = "cuda"')
        assert "cuda" in content["spec"]

    file = forged(torch_toy_file, tmp_path / "x.safetensors", cuda)
    answer = boostlora("apply", torch_toy.base, file, *PLUG)
    assert answer.returncode == 2
    assert "cuda" in answer.stderr
    assert boostlora("apply", torch_toy.base, file, "--backend", "reference", *PLUG).returncode == 0


def test_apply_of_an_hf_model_writes_a_folder_that_transformers_loads(
    causal_path: Path, boostlora: Command, tmp_path: Path
) -> None:
    file = tmp_path / "words.boost.safetensors"
    assert boostlora("export", causal_path, "--to", "boost", "--out", file).returncode == 0
    answer = boostlora("apply", causal_path.parent / "model", file, "--json")
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert (found["to"], found["path"], found["bit_identical"]) == ("hf", "words-merged", True)
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tmp_path / "words-merged", local_files_only=True)
    from boostlora.engine.ensemble.ensemble import Ensemble

    exportable = Ensemble.open(causal_path).exportable()
    weights = dict(model.named_parameters())
    for site in exportable.sites:
        np.testing.assert_array_equal(weights[site.name].detach().numpy(), exportable.merged(site.name))


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
def test_apply_interrupted_in_the_middle_of_writing_leaves_no_folder_of_that_name(
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
        assert all(name.startswith(".toy-merged.making-") for name in _left(tmp_path))
    else:
        assert (process.returncode, err) == (130, "interrupted; nothing was written\n")
        assert _left(tmp_path) == []


def test_apply_after_a_kill_works_beside_what_is_left(
    toy: ToyRun, toy_file: Path, boostlora: Command, tmp_path: Path
) -> None:
    (tmp_path / ".toy-merged.making-abc").mkdir()
    assert boostlora("apply", toy.base, toy_file, *PLUG).returncode == 0
    _same(tmp_path / "toy-merged", _merged(toy))
