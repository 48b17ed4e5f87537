"""Runs that several tests of ensembles share, their boost files and their ensembles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boostlora.engine.api import save
from boostlora.engine.ensemble.ensemble import Ensemble
from boostlora.engine.foundation.run_context import RunContext

from ..support.boost_runs import PLUGIN, ToyRun, toy_run
from ..support.shared import Shared
from .families import Family


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


@pytest.fixture(scope="session")
def classifier_path(shared: Shared, shared_cache: Path) -> Path:
    """A run of a tiny BERT with a fitted head, which lies beside it in `model`."""
    pytest.importorskip("transformers", reason="needs transformers")
    from ..support.export_runs import classifier_run

    return shared.made("classifier-path", lambda folder: classifier_run(folder, shared_cache)) / "run"


@pytest.fixture(scope="session")
def file(toy_file: Path) -> Path:
    """The boost file that is damaged and forged."""
    return toy_file


@pytest.fixture(scope="session")
def with_factors(shared: Shared, toy: ToyRun) -> Path:
    """The same with factors."""
    return _boost_file(shared, toy, "toy-file-with-factors", with_factors=True)


@pytest.fixture(scope="session", params=["toy", "torch_toy", "causal", "classifier"])
def family(request: pytest.FixtureRequest, shared_cache: Path) -> Family:
    """A perceptron by both backends, a causal language model, a classifier."""
    name = request.param
    if name.endswith("toy"):
        run: ToyRun = request.getfixturevalue(name)
        rows = np.random.default_rng(0).standard_normal((5, 9))
        return Family(name, run.ensemble, run.base, rows, (PLUGIN,))
    path: Path = request.getfixturevalue(f"{name}_path")
    inputs: Any = ["good dog", "bad cat 3", "cat"]
    if name == "causal":
        inputs = [("1 + 2 =", " 3"), ("20 + 6 =", " 26")]

    def opened() -> Ensemble:
        return Ensemble.open(path, context=RunContext(cache=shared_cache))

    return Family(name, opened, path.parent / "model", inputs)


@pytest.fixture(scope="session")
def used(family: Family) -> Ensemble:
    """One ensemble, asked for everything."""
    return family.open()


def _boost_file(shared: Shared, run: ToyRun, name: str, **options: bool) -> Path:
    file = "toy.boost.safetensors"
    return shared.made(name, lambda folder: save(run.ensemble(), folder / file, **options)) / file
