"""Small runs that several exporters' tests share, boosted once a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from boostlora.engine.testing import ExportCase

from ..support.shared import Shared


@pytest.fixture(scope="session")
def causal_case(shared: Shared, shared_cache: Path) -> ExportCase:
    """A tiny Llama in float32."""
    from ..support.export_runs import case_of, causal_run

    return case_of(
        shared.made("causal", lambda folder: causal_run(folder, shared_cache)) / "run", shared_cache
    )


@pytest.fixture(scope="session")
def classifier_case(shared: Shared, shared_cache: Path) -> ExportCase:
    """A tiny BERT with a head, in float32."""
    from ..support.export_runs import case_of, classifier_run

    return case_of(
        shared.made("classifier", lambda folder: classifier_run(folder, shared_cache)) / "run", shared_cache
    )


@pytest.fixture(scope="session")
def mlp_case(shared: Shared, shared_cache: Path) -> ExportCase:
    """A perceptron by the reference backend."""
    from ..support.export_runs import case_of, mlp_run

    return case_of(shared.made("mlp", lambda folder: mlp_run(folder, shared_cache)) / "run", shared_cache)


@pytest.fixture(scope="session")
def grouped_case(shared: Shared, shared_cache: Path) -> ExportCase:
    """A tiny Llama with fewer key-value heads than heads, whose tokenizer opens every text."""
    from ..support.export_runs import case_of, causal_run

    shape = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "hidden_size": 32}
    folder = shared.made(
        "grouped", lambda folder: causal_run(folder, shared_cache, bos=True, chat=True, **shape)
    )
    return case_of(folder / "run", shared_cache)
