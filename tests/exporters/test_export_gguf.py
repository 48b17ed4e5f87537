"""The exporter `gguf` on a safetensors base: its suite."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("transformers", reason="needs transformers")
pytest.importorskip("gguf", reason="needs gguf")

from boostlora.engine.errors import UsageError
from boostlora.engine.testing import ExporterContract
from boostlora.plugins.exporters.gguf import Gguf


class TestGguf(ExporterContract):
    def make(self):
        return Gguf()

    @pytest.fixture
    def case(self, grouped_case):
        return grouped_case

    @pytest.fixture
    def foreign(self, classifier_case):
        return classifier_case.ensemble

    def test_check_refuses_a_perceptron_and_names_an_exporter_that_accepts_it(self, mlp_case):
        with pytest.raises(UsageError, match="architecture mlp; --to safetensors exports any"):
            self.make().check(mlp_case.ensemble)
