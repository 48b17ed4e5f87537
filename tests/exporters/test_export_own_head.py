"""The exporter `hf` of classifiers with their architecture's head: folders for transformers' pipeline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from boostlora.engine.testing import ExportCase, ExporterContract, assert_close
from boostlora.plugins.exporters.hf import Hf

from ..support.export_runs import own_head_run
from .export_bases import as_bin, in_bfloat16_shards, torch

FAMILIES = ("bert", "roberta", "distilbert", "qwen2")
TEXTS = ["good cat 3", "bad dog, and a longer text", "good"]
UNIT = 2.0**-23


def classified(folder: Path, texts: list[str], size: int) -> list[dict[str, Any]]:
    """What transformers' pipeline says of texts, in batches of `size`, with the scores of all classes."""
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    return transformers.pipeline("text-classification", model=str(folder), device="cpu", batch_size=size)(
        texts, top_k=None
    )


def export(case: ExportCase, folder: Path) -> Path:
    folder.mkdir()
    Hf().check(case.ensemble)
    Hf().write(case.ensemble, folder)
    return folder


class TestHfOfOwnHead(ExporterContract):
    """A fine-tuned folder, whose labels are in another order than the task's classes."""

    roundings = 0.0

    def make(self) -> Hf:
        return Hf()

    @pytest.fixture(scope="class", params=["bert", "qwen2"])
    @staticmethod
    def case(
        request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shared_cache: Path
    ) -> ExportCase:
        return own_head_run(tmp_path_factory.mktemp("run"), shared_cache, family=request.param)


@pytest.mark.slow(reason="the whole suite once more")
@pytest.mark.filterwarnings("ignore:.*no trained head")
class TestHfOfNewHead(TestHfOfOwnHead):
    """An encoder without a head, which gets its architecture's."""

    @pytest.fixture(scope="class", params=FAMILIES)
    @staticmethod
    def case(
        request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shared_cache: Path
    ) -> ExportCase:
        return own_head_run(tmp_path_factory.mktemp("run"), shared_cache, family=request.param, trained=False)


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.filterwarnings("ignore:.*no trained head")
def test_pipeline_gives_the_class_names_and_the_evaluated_probabilities(
    family: str, trained: bool, tmp_path: Path, shared_cache: Path
) -> None:
    case = own_head_run(tmp_path / "run", shared_cache, family=family, trained=trained)
    folder = export(case, tmp_path / "export")
    z = case.evaluated(case.encode(TEXTS))
    expected = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    assert np.ptp(expected) > 0.01
    for size in (1, 3):
        for row, found in zip(expected, classified(folder, TEXTS, size), strict=True):
            said = {one["label"]: one["score"] for one in found}
            assert said.keys() == {"bad", "good"}
            # float32 by other kernels in batches of another shape.
            assert_close([said["bad"], said["good"]], row, atol=256 * UNIT, what=f"{family}, {size} at once")


def test_configuration_of_a_labelled_base_keeps_its_labels(tmp_path: Path, shared_cache: Path) -> None:
    case = own_head_run(tmp_path / "run", shared_cache)
    config = json.loads((export(case, tmp_path / "export") / "config.json").read_text())
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert config["id2label"] == {"0": "good", "1": "bad"}
    assert config["label2id"] == {"good": 0, "bad": 1}
    assert config["problem_type"] == "single_label_classification"


def test_new_head_is_saved_with_the_model_under_the_modules_names(tmp_path: Path, shared_cache: Path) -> None:
    with pytest.warns(UserWarning, match="classifier.dense.* are initialised at random"):
        case = own_head_run(tmp_path / "run", shared_cache, family="roberta", trained=False)
    folder = export(case, tmp_path / "export")
    assert not list(folder.glob("head*"))
    found, base = load_file(folder / "model.safetensors"), load_file(tmp_path / "run/model/model.safetensors")
    assert found.keys() == {w.name for w in case.ensemble.source.blueprint.weights}
    sites = {site.name for site in case.ensemble.sites}
    assert {"classifier.dense.weight", "roberta.encoder.layer.0.attention.self.query.weight"} < sites
    assert "classifier.out_proj.weight" not in sites
    for name, tensor in found.items():
        if name.startswith("roberta.") and name not in sites:
            assert torch.equal(tensor, base[name.removeprefix("roberta.")]), name
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["RobertaForSequenceClassification"]
    assert config["id2label"] == {"0": "bad", "1": "good"}


@pytest.mark.parametrize("after", [as_bin, in_bfloat16_shards])
def test_other_files_of_a_labelled_base_export_too(after: Any, tmp_path: Path, shared_cache: Path) -> None:
    case = own_head_run(tmp_path / "run", shared_cache, after=after, lr=1.0)
    folder = export(case, tmp_path / "export")
    found: dict[str, Any] = {}
    for file in folder.glob("*.safetensors"):
        found |= load_file(file)
    for site in case.ensemble.sites:  # merged in float32, and rounded once
        merged = torch.from_numpy(case.ensemble.merged(site.name)).to(found[site.name].dtype)
        assert torch.equal(found[site.name], merged), site.name
    base, expected = case.of().evaluated(), case.evaluated()
    unit = UNIT if after is as_bin else 2.0**-8
    assert np.abs(expected - base).max() > 16 * unit * np.abs(expected).max()
    if after is as_bin:
        logits = case.opened(Hf().reload(case.ensemble, folder))
        assert_close(logits, expected, atol=8 * unit * np.abs(expected).max(), what="logits")
