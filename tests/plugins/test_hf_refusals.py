"""What Hugging Face models refuse, and the messages."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="Hugging Face models need torch")
pytest.importorskip("transformers", reason="Hugging Face models need transformers")

from safetensors.torch import load_file, save_file

from boostlora.engine.contracts import Splits
from boostlora.plugins.models.hf_causal_lm import HfCausalLm
from boostlora.plugins.models.hf_classifier import HfClassifier

from ..support import hf_toys
from ..support.commands import PATIENCE, python
from .hf_cases import CAUSAL, CLASSES, TEXTS, get, message, splits_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "model"


def test_model_of_the_wrong_kind_is_refused(tmp_path: Path) -> None:
    bert = hf_toys.encoder(tmp_path / "bert")
    said = message(lambda: HfCausalLm(path=str(bert)).blueprint(CAUSAL))
    assert said == f"{bert}: bert is not a causal language model; try model hf-classifier"


@pytest.mark.parametrize(
    ("model", "splits", "expected"),
    [
        (
            HfCausalLm,
            CLASSES,
            "model hf-causal-lm takes prompts with completions; this task's inputs are of another kind",
        ),
        (
            HfClassifier,
            CAUSAL,
            "model hf-classifier takes texts; this task's inputs are of another kind",
        ),
        (
            HfClassifier,
            splits_of(TEXTS),
            "model hf-classifier needs at least two classes, or values; this task has none",
        ),
    ],
)
def test_model_with_an_incompatible_task_is_refused(
    tmp_path: Path, model: Any, splits: Splits, expected: str
) -> None:
    assert message(lambda: model(path=str(tmp_path)).blueprint(splits)) == expected


def test_model_folder_without_a_configuration_is_refused(folder: Path) -> None:
    folder.mkdir()
    assert message(lambda: HfCausalLm(path=str(folder)).blueprint(CAUSAL)).startswith(
        f"{folder}: no readable model: "
    )
    said = message(lambda: HfCausalLm(path=str(folder), gguf="a.gguf").blueprint(CAUSAL))
    assert said == f'{folder}: no file "a.gguf" (model.gguf); GGUF files there: none'


def test_model_folder_without_weights_is_refused(tmp_path: Path, folder: Path) -> None:
    (hf_toys.causal(folder) / "model.safetensors").unlink()
    said = message(lambda: get(HfCausalLm(path=str(folder)), CAUSAL, tmp_path))
    assert said == f"{folder}: no weights: neither model.safetensors nor pytorch_model.bin"


def test_missing_model_weight_is_named(tmp_path: Path, folder: Path) -> None:
    hf_toys.causal(folder, "llama")
    file = folder / "model.safetensors"
    kept = {n: t for n, t in load_file(file).items() if n != "model.layers.1.mlp.up_proj.weight"}
    save_file(kept, file, metadata={"format": "pt"})
    said = message(lambda: get(HfCausalLm(path=str(folder)), CAUSAL, tmp_path))
    assert said == f'{folder}: no weight "model.layers.1.mlp.up_proj.weight" (1 of 21 are missing)'


@pytest.mark.parametrize("same", [True, False])
def test_tied_model_with_a_separate_head_is_refused(tmp_path: Path, folder: Path, same: bool) -> None:
    """transformers would make two weights of it, and the reference one."""
    hf_toys.causal(folder, "llama")
    config, file = folder / "config.json", folder / "model.safetensors"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"tie_word_embeddings": True}))
    state = load_file(file)
    if same:
        state["lm_head.weight"] = state["model.embed_tokens.weight"].clone()
    save_file(state, file, metadata={"format": "pt"})
    if same:
        get(HfCausalLm(path=str(folder)), CAUSAL, tmp_path)
        return
    said = message(lambda: get(HfCausalLm(path=str(folder)), CAUSAL, tmp_path))
    assert said.startswith(f"{folder}: model.embed_tokens.weight and lm_head.weight are tied by the")
    assert said.endswith("set tie_word_embeddings to false in config.json")


def test_missing_model_shard_is_named(tmp_path: Path, folder: Path) -> None:
    hf_toys.shard(hf_toys.causal(folder, "llama"))
    gone = sorted(folder.glob("model-*.safetensors"))[1]
    gone.unlink()
    said = message(lambda: HfCausalLm(path=str(folder)).blueprint(CAUSAL))
    assert said == f"{gone}: no such file, though model.safetensors.index.json names it"


def test_model_with_damaged_weights_is_refused(folder: Path) -> None:
    (hf_toys.causal(folder) / "model.safetensors").write_bytes(b"nothing of the kind")
    said = message(lambda: HfCausalLm(path=str(folder)).blueprint(CAUSAL))
    assert said.startswith(f"{folder / 'model.safetensors'}: not a readable safetensors file: ")


def test_model_with_custom_code_is_refused_without_running_it(folder: Path, tmp_path: Path) -> None:
    hf_toys.causal(folder)
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass C: pass\n")
    hf_toys.config_of(folder, model_type="own", auto_map={"AutoConfig": "own.C"})
    said = message(lambda: HfCausalLm(path=str(folder)).blueprint(CAUSAL))
    assert said.endswith("it needs custom Python code, which is never run")
    assert not (tmp_path / "ran").exists()


def test_model_with_quantised_weights_is_refused(folder: Path) -> None:
    hf_toys.config_of(hf_toys.causal(folder), quantization_config={"quant_method": "gptq", "bits": 4})
    said = message(lambda: HfCausalLm(path=str(folder)).blueprint(CAUSAL))
    assert said == f"{folder}: its weights are quantised; use the original model"


def test_folder_with_an_adapter_beside_its_weights_is_refused(folder: Path) -> None:
    (hf_toys.causal(folder) / "adapter_config.json").write_text("{}")
    said = message(lambda: HfCausalLm(path=str(folder)).blueprint(CAUSAL))
    assert said == f"{folder}: an adapter (adapter_config.json); merge it into its base first, and use that"


def test_model_tokenizer_of_another_model_is_refused(folder: Path) -> None:
    model = HfCausalLm(path=str(hf_toys.causal(folder, vocab_size=40)))
    said = message(lambda: model.encode(CAUSAL.train))
    assert said.startswith("the tokenizer returns token ")
    assert said.endswith(", but the model has 40: they do not belong together")


def test_model_hub_id_without_a_network_is_refused(tmp_path: Path) -> None:
    """In a process of its own: the library reads `HF_HUB_OFFLINE` when it is imported."""
    code = (
        "from tests.plugins.hf_cases import CAUSAL, message;"
        "from boostlora.plugins.models.hf_causal_lm import HfCausalLm;"
        "print(message(lambda: HfCausalLm(path='owner/name').blueprint(CAUSAL)))"
    )
    done = python("-c", code, env={"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)})
    expected = (
        'model.path: no local folder "owner/name", and it cannot be fetched from the Hugging Face Hub: '
    )
    assert done.stdout.startswith(expected), done.stderr


def test_model_plugins_register_without_importing_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from boostlora.engine.registry import Registry; r = Registry.load(); assert not r.broken, r.broken;"
        "assert {'hf-causal-lm', 'hf-classifier'} <= set(r.entries('model'));"
        "assert not {'torch', 'transformers', 'datasets', 'tokenizers'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr


def test_model_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "transformers" else find(name)
    )
    expected = "model hf-causal-lm needs pip install 'boostlora[hf]' (transformers is missing)"
    assert message(lambda: HfCausalLm(path=str(tmp_path)).blueprint(CAUSAL)) == expected
