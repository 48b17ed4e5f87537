"""The lines that come with an export, in a process of their own that cannot import this package; elsewhere they run in the tests' own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boostlora.engine.testing import ExportCase

from ..support.isolated import run_alone

pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("transformers", reason="needs transformers")

pytestmark = pytest.mark.slow(reason="every process imports torch and transformers")


def hf() -> Any:
    from boostlora.plugins.exporters.hf import Hf

    return Hf()


def peft_lora() -> Any:
    pytest.importorskip("peft", reason="needs PEFT")
    from boostlora.plugins.exporters.peft_lora import PeftLora

    return PeftLora()


def peft_tinylora() -> Any:
    pytest.importorskip("peft", reason="needs PEFT")
    from boostlora.plugins.exporters.peft_tinylora import PeftTinyLora

    return PeftTinyLora()


def gguf() -> Any:
    pytest.importorskip("gguf", reason="needs gguf")
    from boostlora.plugins.exporters.gguf import Gguf

    return Gguf()


@pytest.mark.parametrize("case", ["causal_case", "classifier_case"])
@pytest.mark.parametrize("make", [hf, peft_lora, peft_tinylora, gguf])
def test_usage_answers_in_a_process_without_this_package(
    make: Callable[[], Any], case: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    exporter = make()
    if (make, case) == (gguf, "classifier_case"):
        case = "grouped_case"
    found: ExportCase = request.getfixturevalue(case)
    if make is peft_tinylora:  # holds one round
        found = found.of(found.ensemble.rounds[0])
    folder = tmp_path / "export"
    folder.mkdir()
    exporter.write(found.ensemble, folder)
    told = run_alone(exporter.usage(found.ensemble, str(folder)), tmp_path)
    assert len(told["logits"]) == len(told["texts"]) > 0
    assert np.isfinite(told["logits"]).all()
