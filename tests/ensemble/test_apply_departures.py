"""`boostlora apply` when recomputed rounds differ from the run: on another backend or device, with other directions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from safetensors.numpy import load_file

from boostlora.backends.torch.store import TorchStore
from boostlora.engine.api import save
from boostlora.engine.boosting.round_plan import RoundPlan
from boostlora.engine.contracts import Frame, MergedRound
from boostlora.engine.ensemble.recipe import Recipe, StoredRound

from ..support.boost_runs import ToyRun, forged
from ..support.commands import Command
from .applied import PLUG, left, merged, same


def test_apply_on_another_backend_is_close_and_reports_only_closeness(
    torch_toy: ToyRun, torch_toy_file: Path, boostlora: Command, tmp_path: Path
) -> None:
    answer = boostlora("apply", torch_toy.base, torch_toy_file, "--backend", "reference", "--json", *PLUG)
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert found["bit_identical"] is False
    assert 0.0 < found["departure"] <= 1e-3
    ours, theirs = load_file(tmp_path / "toy-merged/model.safetensors"), merged(torch_toy)
    base = load_file(torch_toy.base)
    apart = np.sqrt(sum(float(np.sum((ours[n] - theirs[n]) ** 2)) for n in theirs))
    moved = np.sqrt(sum(float(np.sum((base[n] - theirs[n]) ** 2)) for n in theirs))
    assert 0.0 <= apart < 2e-3 * moved


def test_apply_on_another_backend_notes_that_bits_can_differ(
    torch_toy: ToyRun, torch_toy_file: Path, boostlora: Command
) -> None:
    answer = boostlora("apply", torch_toy.base, torch_toy_file, "--backend", "reference", *PLUG)
    assert "\nnot bit-identical to the run: rebuilt updates deviate by " in answer.stdout
    assert "bit-identical to the merged weights of the run" not in answer.stdout


def test_apply_on_an_unavailable_backend_is_refused(
    toy: ToyRun, toy_file: Path, boostlora: Command, tmp_path: Path
) -> None:
    answer = boostlora("apply", toy.base, toy_file, "--backend", "jax", *PLUG)
    assert answer.returncode == 2
    assert 'unknown backend plugin "jax"' in answer.stderr
    assert left(tmp_path) == []


def test_apply_of_a_file_of_an_unavailable_device_prints_a_note(
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


def _turned(angle: float) -> Callable[..., Frame]:
    """Directions of which the first two are turned into each other, as another library might give equal ones."""
    own = TorchStore.directions

    def directions(self: TorchStore, site: str, count: int, updates: Any = ()) -> Frame:
        frame = own(self, site, count, updates)
        turn = np.eye(count)
        turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        return Frame(U=frame.U @ turn, S=frame.S, V=frame.V @ turn)

    return directions


def test_apply_writes_nothing_when_recomputed_rounds_differ(
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
    assert "its rounds cannot be reproduced here: they differ by " in answer.stderr
    assert "a file made with --with-factors" in answer.stderr
    assert left(tmp_path) == ["cache"]


def test_apply_within_the_tolerance_is_written_and_reported(
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
    assert left(tmp_path) == ["cache", "toy-merged"]
    loose = boostlora("apply", base, torch_toy_file, "--tolerance", "0.5", "--out", "loose", "--json", *PLUG)
    assert json.loads(loose.stdout)["allowed"] == 0.5


def test_apply_also_compares_unselected_rounds_with_the_run(
    torch_toy: ToyRun, boostlora: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = save(torch_toy.ensemble(), tmp_path / "last.boost.safetensors", rounds="3..3")
    monkeypatch.setenv("BOOSTLORA_CACHE", str(tmp_path / "cache"))
    whole = boostlora("apply", torch_toy.base, file, "--rounds", "1..2", "--out", "whole", *PLUG)
    assert whole.returncode == 0, whole.stderr
    made = Recipe.rebuild_round

    def other(self: Recipe, plan: RoundPlan, kept: StoredRound) -> MergedRound:
        found = made(self, plan, kept)
        return attrs.evolve(found, updates={} if kept.number == 1 else found.updates)

    monkeypatch.setattr(Recipe, "rebuild_round", other)
    assert (
        boostlora("apply", torch_toy.base, file, "--rounds", "1..2", "--out", "lacking", *PLUG).returncode
        == 4
    )
    assert not (tmp_path / "lacking").exists()


def test_apply_of_a_file_with_factors_does_not_depend_on_directions(
    torch_toy: ToyRun, boostlora: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = save(torch_toy.ensemble(), tmp_path / "f.boost.safetensors", with_factors=True)
    base, expected = torch_toy.base, merged(torch_toy)
    monkeypatch.setattr(TorchStore, "directions", _turned(0.3))
    answer = boostlora("apply", base, file, "--json", *PLUG)
    assert json.loads(answer.stdout)["bit_identical"] is True
    same(tmp_path / "toy-merged", expected)
