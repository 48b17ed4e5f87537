"""Runs that several tests share."""

import pytest

from .boosting_toys import toy


@pytest.fixture(scope="session")
def refitted(shared):
    """Six rounds, of which the third and the sixth train earlier cores again; the run is called `whole`."""
    settings = ("boosting.refit_every=2", "sampler.use=all")
    return toy(shared.made("refitted", lambda folder: toy(folder, *settings).go("whole")), *settings)
