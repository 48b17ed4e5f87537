"""A small experiment to verify, and backends to verify it with."""

import importlib.util

import attrs
import pytest

from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.registry import Registry
from boostlora.engine.spec import Slot
from boostlora.engine.spec.resolve import load_spec
from boostlora.engine.verification.limits import Limits
from boostlora.engine.verification.verify import verify

from .broken_backends import Candidate, Proxy

SMALL = (
    "rounds=2",
    "model.hidden=[24, 16]",
    "model.epochs=15",
    "adapter.rank=2",
    "adapter.u=3",
    "optimizer.steps=6",
    "optimizer.batch_size=32",
)
RIGHT = ("reference float64", "reference float32", "torch float64", "torch float32")


@pytest.fixture(scope="session")
def registry():
    return Registry.load()


@pytest.fixture
def small():
    """Settings that make the quickstart small."""
    return [word for setting in SMALL for word in ("--set", setting)]


@pytest.fixture
def small_settings():
    """What makes the quickstart small."""
    return SMALL


@pytest.fixture
def spec_of(registry):
    """The small quickstart, with a backend in it: `spec_of(backend, *settings)`."""

    def make(backend, *settings):
        spec = load_spec("paper/digits", registry, (*SMALL, *settings))
        return attrs.evolve(spec, slots={**spec.slots, "backend": Slot(use="candidate", plugin=backend)})

    return make


@pytest.fixture
def check(registry, spec_of):
    """Verify a candidate: `check(backend, *settings, limits=…)`."""

    def run(backend, *settings, limits=None):
        return verify(spec_of(backend, *settings), registry, RunContext(), limits or Limits())

    return run


@pytest.fixture(params=RIGHT)
def right(request, registry):
    """Every backend that is right, in every precision that has a sharp criterion."""
    name, dtype = request.param.split()
    if name == "torch" and importlib.util.find_spec("torch") is None:
        pytest.skip("needs PyTorch")
    options = {"device": "cpu"} if name == "torch" else {}
    return registry.entries("backend")[name].cls(dtype=dtype, **options)


@pytest.fixture
def broken(right):
    """`broken(Fault)`: a right backend whose models have a fault."""

    def make(fault=Proxy):
        return Candidate(right=right, fault=fault, dtype=right.dtype)

    return make
