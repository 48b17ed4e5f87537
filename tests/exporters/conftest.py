"""Small runs that several exporters' tests share, boosted once a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from boostlora.engine.testing import ExportCase


@pytest.fixture(scope="session")
def causal_case(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> ExportCase:
    """A tiny Llama in float32."""
    from ..support.export_runs import causal_run

    return causal_run(tmp_path_factory.mktemp("causal"), shared_cache)


@pytest.fixture(scope="session")
def classifier_case(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> ExportCase:
    """A tiny BERT with a head, in float32."""
    from ..support.export_runs import classifier_run

    return classifier_run(tmp_path_factory.mktemp("classifier"), shared_cache)


@pytest.fixture(scope="session")
def mlp_case(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> ExportCase:
    """A perceptron by the reference backend."""
    from ..support.export_runs import mlp_run

    return mlp_run(tmp_path_factory.mktemp("mlp"), shared_cache)
