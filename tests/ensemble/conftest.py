"""Runs that several tests of ensembles share."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..support.boost_runs import PLUGIN, ToyRun, toy_run


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> ToyRun:
    """Four rounds of TinyLoRA by the reference."""
    return toy_run(tmp_path_factory.mktemp("toy"), "backend.threads=1", plugins=(PLUGIN,))


@pytest.fixture(scope="session")
def torch_toy(tmp_path_factory: pytest.TempPathFactory) -> ToyRun:
    """Four rounds of TinyLoRA by torch, in float32."""
    pytest.importorskip("torch", reason="the torch backend needs PyTorch")
    return toy_run(tmp_path_factory.mktemp("torch-toy"), "backend.use=torch", "backend.threads=1")


@pytest.fixture(scope="session")
def toy_file(toy: ToyRun) -> Path:
    """The boost file of `toy`."""
    return toy.ensemble().save(toy.path.parent / "toy.boost.safetensors")


@pytest.fixture(scope="session")
def torch_toy_file(torch_toy: ToyRun) -> Path:
    """The boost file of `torch_toy`."""
    return torch_toy.ensemble().save(torch_toy.path.parent / "toy.boost.safetensors")


@pytest.fixture(scope="session")
def causal_path(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Path:
    """A run of a tiny Llama, which lies beside it in `model`."""
    pytest.importorskip("transformers", reason="needs transformers")
    from .card_runs import causal_run_of

    return causal_run_of(tmp_path_factory.mktemp("causal"), shared_cache)
