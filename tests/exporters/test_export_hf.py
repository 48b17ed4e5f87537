"""The exporter `hf`: folders that transformers, and sentence-transformers, load."""

from __future__ import annotations

from pathlib import Path

import pytest

from boostlora.engine.contracts import Exportable
from boostlora.engine.testing import ExportCase, ExporterContract
from boostlora.plugins.exporters.hf import Hf

from ..support.export_runs import causal_run, classifier_run, scratch_causal_run, scratch_classifier_run
from .export_bases import Make, as_bfloat16, as_bin, in_bfloat16_shards

OTHERS: dict[str, Make] = {
    "qwen2-tied": lambda folder, cache: causal_run(folder, cache, family="qwen2"),
    "gpt2": lambda folder, cache: causal_run(folder, cache, family="gpt2"),
    "llama-chat": lambda folder, cache: causal_run(
        folder, cache, bos=True, chat=True, options="chat_template = true"
    ),
    "llama-bin": lambda folder, cache: causal_run(folder, cache, after=as_bin),
    "scratch-causal": scratch_causal_run,
    "bert-max": lambda folder, cache: classifier_run(folder, cache, options='pooling = "max"'),
    "esm-cls": lambda folder, cache: classifier_run(folder, cache, family="esm", options='pooling = "cls"'),
    "qwen2-last": lambda folder, cache: classifier_run(
        folder, cache, family="qwen2", options='pooling = "last"'
    ),
    "bert-bin": lambda folder, cache: classifier_run(folder, cache, after=as_bin),
    "bert-head": lambda folder, cache: classifier_run(
        folder, cache, options="[sites]\ntargets = ['*.query', 'head']\n[basis]\nexhausted = 'wrap'"
    ),
    "scratch-esm": scratch_classifier_run,
    "scratch-bert": lambda folder, cache: scratch_classifier_run(folder, cache, family="bert"),
}


class TestHf(ExporterContract):
    """As the base's files have it: float32 in, float32 out, and no logit differs."""

    roundings = 0.0

    def make(self) -> Hf:
        return Hf()

    @pytest.fixture(params=["causal_case", "classifier_case"])
    def case(self, request: pytest.FixtureRequest) -> ExportCase:
        return request.getfixturevalue(request.param)

    @pytest.fixture
    def foreign(self, mlp_case: ExportCase) -> Exportable:
        return mlp_case.ensemble


@pytest.mark.slow(reason="the whole suite once more")
class TestHfOfOtherFamilies(TestHf):
    """Transposed weights, tied ones, other poolings, sites in the head, converted bases, models made from nothing."""

    @pytest.fixture(scope="class", params=sorted(OTHERS))
    @staticmethod
    def case(
        request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shared_cache: Path
    ) -> ExportCase:
        return OTHERS[request.param](tmp_path_factory.mktemp("run"), shared_cache)


class TestHfOfBfloat16(TestHf):
    """A base in bfloat16, in two files, evaluated in float32: one cast of every adapted weight, where it is written."""

    roundings = 8.0
    usage_roundings = 24.0

    @pytest.fixture(scope="class")
    @staticmethod
    def case(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> ExportCase:
        folder = tmp_path_factory.mktemp("run")
        return causal_run(folder, shared_cache, after=in_bfloat16_shards)


@pytest.mark.slow(reason="the whole suite once more")
class TestHfOfClassifierInBfloat16(TestHfOfBfloat16):
    """Encoder in bfloat16, head in float32."""

    @pytest.fixture(scope="class")
    @staticmethod
    def case(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> ExportCase:
        return classifier_run(tmp_path_factory.mktemp("run"), shared_cache, after=as_bfloat16)


@pytest.mark.slow(reason="the whole suite once more")
class TestHfToFloat32(TestHfOfBfloat16):
    """A base in bfloat16, exported in the precision that it was evaluated in."""

    roundings = 0.0

    def make(self) -> Hf:
        return Hf(dtype="float32")
