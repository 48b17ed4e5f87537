"""Weights in every layout that users' folders have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

pytest.importorskip("torch", reason="Hugging Face models need torch")
pytest.importorskip("transformers", reason="Hugging Face models need transformers")

from safetensors.torch import load_file, save_file

from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.testing import assert_close
from boostlora.plugins.models.hf_causal_lm import HfCausalLm
from boostlora.plugins.models.hf_classifier import HfClassifier

from ..support import hf_toys
from .hf_cases import CAUSAL, CLASSES, assert_module_is_the_files, get, values


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "model"


def test_causal_sharded_weights_are_opened_as_they_are(tmp_path: Path) -> None:
    folder = hf_toys.causal(tmp_path / "whole", "llama")
    before = values(get(HfCausalLm(path=str(folder)), CAUSAL, tmp_path / "a"))
    hf_toys.shard(folder)
    source = get(HfCausalLm(path=str(folder)), CAUSAL, tmp_path / "b")
    assert len(source.files) > 1
    assert all(file.parent == folder for file in source.files)
    for name, value in values(source).items():
        assert_close(value.numpy(), before[name].numpy(), atol=0.0, what=name)
    assert_module_is_the_files(source)


@pytest.mark.parametrize(
    ("kind", "rename"),
    [
        ("causal", lambda n: n.removeprefix("transformer.")),
        ("encoder", lambda n: f"bert.{n}"),
        (
            "encoder",
            lambda n: n.replace("LayerNorm.weight", "LayerNorm.gamma").replace("Norm.bias", "Norm.beta"),
        ),
    ],
)
def test_weights_under_other_names_are_found_without_a_copy(
    tmp_path: Path, folder: Path, kind: str, rename: Any
) -> None:
    if kind == "causal":
        model: Any = HfCausalLm(path=str(hf_toys.causal(folder, "gpt2")))
        splits = CAUSAL
    else:
        model, splits = HfClassifier(path=str(hf_toys.encoder(folder))), CLASSES
    before = values(get(model, splits, tmp_path / "a"))
    hf_toys.rewrite(folder, rename)
    source = get(model, splits, tmp_path / "b")
    assert source.files[0] == folder / "model.safetensors"
    module = assert_module_is_the_files(source)
    for name, value in before.items():
        # The head is fitted again: same features, same head.
        assert_close(module.state_dict()[name].numpy(), value.double().numpy(), atol=0.0, what=name)


@pytest.mark.parametrize("layout", ["bin", "foreign"])
@pytest.mark.parametrize("kind", ["causal", "encoder"])
def test_weights_that_cannot_be_opened_in_place_are_copied_once(
    tmp_path: Path, folder: Path, kind: str, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = CAUSAL if kind == "causal" else CLASSES
    make = hf_toys.causal if kind == "causal" else hf_toys.encoder
    model: Any = (HfCausalLm if kind == "causal" else HfClassifier)(path=str(make(folder)))
    before = values(get(model, splits, tmp_path / "a"))
    if layout == "bin":
        hf_toys.as_bin(folder)
    else:
        monkeypatch.setattr("boostlora.plugins.models._hf.weights.stored_names", lambda *_: None)
    told = list[tuple[str, int, int]]()
    context = RunContext(cache=tmp_path / "b", report=lambda *what: told.append(what))
    source = model.source(splits, context, np.random.default_rng(0))
    assert ("converting", 1, 1) in told
    assert source.files[0].is_relative_to(tmp_path / "b")
    for name, value in values(source).items():
        assert_close(value.numpy(), before[name].numpy(), atol=0.0, what=name)
    assert_module_is_the_files(source)
    told.clear()
    assert model.source(splits, context, np.random.default_rng(0)) == source
    assert told == []
    source.files[0].write_bytes(source.files[0].read_bytes()[:-8])
    assert model.source(splits, context, np.random.default_rng(0)) == source
    assert ("converting", 1, 1) in told
    assert not list((tmp_path / "b" / "models").glob(".making*"))


def test_weights_in_another_shape_are_not_opened_as_they_are() -> None:
    from boostlora.plugins.models._hf.weights import stored_names

    header = {"bert.a.weight": ("float32", (3, 2)), "a.weight": ("float32", (2, 3)), "b": ("", (1,))}
    assert stored_names({"a.weight": (3, 2)}, header, "bert") == {"a.weight": "bert.a.weight"}
    assert stored_names({"a.weight": (4, 2)}, header, "bert") is None
    assert stored_names({"b": (1,)}, header, "bert") is None  # a dtype that nobody here computes with
    assert stored_names({"a.weight": (2, 3), "bert.a.weight": (2, 3)}, header, "bert") is None


def test_causal_half_precision_is_kept_as_stored(tmp_path: Path, folder: Path) -> None:
    hf_toys.causal(folder)
    file = folder / "model.safetensors"
    save_file({n: t.bfloat16() for n, t in load_file(file).items()}, file, metadata={"format": "pt"})
    source = get(HfCausalLm(path=str(folder)), CAUSAL, tmp_path)
    assert {w.dtype for w in source.blueprint.weights} == {"bfloat16"}
    assert_module_is_the_files(source)


def test_causal_blueprint_with_fewer_layers_builds_the_first_ones(tmp_path: Path) -> None:
    for family in ("qwen2", "gpt2"):
        source = get(HfCausalLm(path=str(hf_toys.causal(tmp_path / family, family))), CAUSAL, tmp_path)
        hf = {**source.blueprint.config["hf"], "num_hidden_layers": 1}
        fewer = attrs.evolve(
            source.blueprint,
            config={**source.blueprint.config, "hf": hf},
            weights=tuple(w for w in source.blueprint.weights if w.layer in {None, 0}),
        )
        assert_module_is_the_files(attrs.evolve(source, blueprint=fewer))


def test_classifier_blueprint_with_fewer_layers_builds_the_first_ones(tmp_path: Path, folder: Path) -> None:
    source = get(HfClassifier(path=str(hf_toys.encoder(folder, "distilbert"))), CLASSES, tmp_path)
    hf = {**source.blueprint.config["hf"], "num_hidden_layers": 1}
    fewer = attrs.evolve(
        source.blueprint,
        config={**source.blueprint.config, "hf": hf},
        weights=tuple(w for w in source.blueprint.weights if w.layer in {None, 0}),
    )
    assert_module_is_the_files(attrs.evolve(source, blueprint=fewer))


def test_causal_configuration_is_plain_json_without_paths(folder: Path) -> None:

    config = HfCausalLm(path=str(hf_toys.causal(folder))).blueprint(CAUSAL).config
    assert json.loads(json.dumps(config)) == config
    assert str(folder) not in json.dumps(config)
