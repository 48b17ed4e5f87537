"""Runs that several tests of ensembles share."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..support.boost_runs import ToyRun, toy_run
from ..support.shared import Shared


@pytest.fixture(scope="session")
def toy(shared: Shared) -> ToyRun:
    """Four rounds of TinyLoRA by the reference."""
    folder = shared.made("toy", lambda folder: toy_run(folder, "backend.threads=1"))
    return ToyRun.at(folder)


@pytest.fixture(scope="session")
def torch_toy(shared: Shared) -> ToyRun:
    """Four rounds of TinyLoRA by torch, in float32."""
    pytest.importorskip("torch", reason="the torch backend needs PyTorch")
    settings = ("backend.use=torch", "backend.threads=1")
    return ToyRun.at(shared.made("torch-toy", lambda folder: toy_run(folder, *settings)))


@pytest.fixture(scope="session")
def toy_file(shared: Shared, toy: ToyRun) -> Path:
    """The boost file of `toy`."""
    return _boost_file(shared, toy, "toy-file")


@pytest.fixture(scope="session")
def torch_toy_file(shared: Shared, torch_toy: ToyRun) -> Path:
    """The boost file of `torch_toy`."""
    return _boost_file(shared, torch_toy, "torch-toy-file")


@pytest.fixture(scope="session")
def causal_path(shared: Shared, shared_cache: Path) -> Path:
    """A run of a tiny Llama, which lies beside it in `model`."""
    pytest.importorskip("transformers", reason="needs transformers")
    from .card_runs import causal_run_of

    return shared.made("causal-path", lambda folder: causal_run_of(folder, shared_cache)) / "run"


def _boost_file(shared: Shared, run: ToyRun, name: str) -> Path:
    file = "toy.boost.safetensors"
    return shared.made(name, lambda folder: run.ensemble().save(folder / file)) / file
