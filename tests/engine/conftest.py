"""The quickstart's task, small enough for seconds."""

import pytest

from boostlora.engine.boosting.experiment import prepare
from boostlora.engine.boosting.loop import boost
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.registry import Registry
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.spec.resolve import load_spec

SMALL = ("rounds=4", "model.hidden=[24, 16]", "model.epochs=15", "adapter.rank=2", "optimizer.steps=10")


@pytest.fixture
def small():
    """Settings that make the quickstart small."""
    return SMALL


@pytest.fixture(scope="module")
def registry():
    return Registry.load()


@pytest.fixture
def run_cell(tmp_path, registry):
    def run(*settings, folder="run"):
        spec = load_spec("paper/digits", registry, (*SMALL, *settings))
        directory = RunDirectory.create(tmp_path / folder, spec)
        return boost(prepare(spec), directory, registry, RunContext()), directory

    return run
