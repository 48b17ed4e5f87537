"""Runs that several tests share, and the plugins of specs that are not run."""

import pytest

from boostlora.engine.registry import Registry

from .boosting_toys import toy


@pytest.fixture(scope="session")
def refitted(shared):
    """Six rounds, of which the third and the sixth train earlier cores again; the run is called `whole`."""
    settings = ("boosting.refit_every=2", "sampler.use=all")
    return toy(shared.made("refitted", lambda folder: toy(folder, *settings).go("whole")), *settings)


@pytest.fixture(scope="session")
def registry():
    """The plugins that come with the package."""
    return Registry.load()
