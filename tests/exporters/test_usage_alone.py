"""The lines that come with exports, in a process that cannot import this package; elsewhere they run in the tests' own."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from boostlora.engine.testing import ExportCase

from ..support.isolated import answer_of, run_all_alone

pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("transformers", reason="needs transformers")

pytestmark = pytest.mark.slow(reason="a process that imports torch and transformers")


def hf() -> Any:
    from boostlora.plugins.exporters.hf import Hf

    return Hf()


def peft_lora() -> Any:
    from boostlora.plugins.exporters.peft_lora import PeftLora

    return PeftLora()


def peft_tinylora() -> Any:
    from boostlora.plugins.exporters.peft_tinylora import PeftTinyLora

    return PeftTinyLora()


def gguf() -> Any:
    from boostlora.plugins.exporters.gguf import Gguf

    return Gguf()


NEEDS = {"hf": "transformers", "peft-lora": "peft", "peft-tinylora": "peft", "gguf": "gguf"}
MAKERS = {"hf": hf, "peft-lora": peft_lora, "peft-tinylora": peft_tinylora, "gguf": gguf}
USAGES = [
    (name, case) for name in MAKERS for case in ("causal", "grouped" if name == "gguf" else "classifier")
]


@pytest.fixture(scope="module")
def answers(
    causal_case: ExportCase,
    classifier_case: ExportCase,
    grouped_case: ExportCase,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """What the usages of all exports leave, in one process that imports the libraries once."""
    cases = {"causal": causal_case, "classifier": classifier_case, "grouped": grouped_case}
    folder, usages = tmp_path_factory.mktemp("usages"), dict[str, str]()
    for name, case in USAGES:
        if find_spec(NEEDS[name]) is None:
            continue
        exporter, found = MAKERS[name](), cases[case]
        if name == "peft-tinylora":  # holds one round
            found = found.of(found.ensemble.rounds[0])
        place = folder / f"{name} {case}"
        place.mkdir()
        exporter.write(found.ensemble, place)
        usages[place.name] = exporter.usage(found.ensemble, str(place))
    return run_all_alone(usages, folder)


@pytest.mark.parametrize(("name", "case"), USAGES)
def test_usage_code_runs_in_a_process_without_this_package(
    answers: dict[str, Any], name: str, case: str
) -> None:
    pytest.importorskip(NEEDS[name])
    told = answer_of(f"{name} {case}", answers)
    assert len(told["logits"]) == len(told["texts"]) > 0
    assert np.isfinite(told["logits"]).all()
