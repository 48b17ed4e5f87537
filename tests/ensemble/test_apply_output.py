"""`boostlora apply` writes the run's merged model, complete or for a selection of rounds, and prints a summary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from boostlora.engine.api import save

from ..support.boost_runs import ToyRun
from ..support.commands import Command
from .applied import PLUG, left, merged, same


@pytest.mark.parametrize("name", ["toy", "torch_toy"])
def test_apply_writes_the_runs_merged_model_bit_for_bit(
    name: str, request: pytest.FixtureRequest, boostlora: Command, tmp_path: Path
) -> None:
    run, file = request.getfixturevalue(name), request.getfixturevalue(f"{name}_file")
    answer = boostlora("apply", run.base, file, *PLUG)
    assert answer.returncode == 0, answer.stderr
    assert "toy-merged: safetensors, " in answer.stdout
    assert "; rounds 1..4" in answer.stdout
    assert "\nbit-identical to the merged weights of the run\n" in answer.stdout
    assert "read back and compared: 4 logits of 4 examples" in answer.stdout
    assert left(tmp_path) == ["toy-merged"]
    same(tmp_path / "toy-merged", merged(run))


def test_apply_and_export_of_the_run_write_the_same_file(
    torch_toy: ToyRun, torch_toy_file: Path, boostlora: Command, tmp_path: Path
) -> None:
    assert boostlora("apply", torch_toy.base, torch_toy_file, "--out", "a", *PLUG).returncode == 0
    assert (
        boostlora(
            "export", torch_toy.path, "--to", "safetensors", "--rounds", "all", "--out", "b", *PLUG
        ).returncode
        == 0
    )
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()


def test_apply_json_has_every_field(toy: ToyRun, toy_file: Path, boostlora: Command) -> None:
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


def test_apply_quiet_prints_only_the_path(toy: ToyRun, toy_file: Path, boostlora: Command) -> None:
    answer = boostlora("apply", toy.base, toy_file, "--out", "there/model", "-q", *PLUG)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "there/model\n", "")


def test_apply_without_examples_reports_that_nothing_was_compared(
    toy: ToyRun, toy_file: Path, boostlora: Command
) -> None:
    answer = boostlora("apply", toy.base, toy_file, "--examples", "0", *PLUG)
    assert answer.returncode == 0
    assert "logits were not compared with those of the evaluated model" in answer.stdout


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
def test_apply_of_a_selection_equals_the_ensembles_model(
    options: list[str], rounds: Any, told: str | None, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    torch_toy, torch_toy_file = map(request.getfixturevalue, ("torch_toy", "torch_toy_file"))
    boostlora = request.getfixturevalue("boostlora")
    answer = boostlora("apply", torch_toy.base, torch_toy_file, *options, "--json", *PLUG)
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert told is None or found["rounds"] == told
    assert found["bit_identical"] is (dict(torch_toy.ensemble().choose(rounds).weights) == dict.fromkeys(range(1, 5), 1.0))  # fmt: skip
    same(tmp_path / "toy-merged", merged(torch_toy, rounds))


def test_apply_uses_the_selection_stored_in_the_file_by_default(
    toy: ToyRun, boostlora: Command, tmp_path: Path
) -> None:
    file = save(toy.ensemble(), tmp_path / "part.boost.safetensors", {1: 1.0, 3: 0.5})
    answer = boostlora("apply", toy.base, file, "--out", "own", "--json", *PLUG)
    assert json.loads(answer.stdout)["rounds"] == "1, 3 (x 0.5)"
    assert json.loads(answer.stdout)["bit_identical"] is True
    same(tmp_path / "own", merged(toy, {1: 1.0, 3: 0.5}))
    assert boostlora("apply", toy.base, file, "--out", "two", "--rounds", "1..2", *PLUG).returncode == 0
    same(tmp_path / "two", merged(toy, 2))
    answer = boostlora("apply", toy.base, file, "--out", "four", "--rounds", "4", *PLUG)
    assert (answer.returncode, answer.stderr) == (2, "error: no round 4; there are: 1 to 3\n")


def test_apply_writes_the_requested_dtype(
    toy: ToyRun, toy_file: Path, boostlora: Command, tmp_path: Path
) -> None:
    assert boostlora("apply", toy.base, toy_file, "--set", "dtype=float64", *PLUG).returncode == 0
    found = load_file(tmp_path / "toy-merged/model.safetensors")
    exportable = toy.ensemble().exportable()
    for site in exportable.sites:
        assert found[site.name].dtype == np.float64
        np.testing.assert_array_equal(found[site.name], exportable.merged(site.name))


def test_apply_of_an_hf_model_writes_a_folder_that_transformers_loads(
    causal_path: Path, boostlora: Command, tmp_path: Path
) -> None:
    file = tmp_path / "words.boost.safetensors"
    assert boostlora("export", causal_path, "--to", "boost", "--rounds", "all", "--out", file).returncode == 0
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
