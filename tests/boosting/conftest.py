"""Runs that several tests share."""

import pytest

from .boosting_toys import toy


@pytest.fixture(scope="session")
def refitted(tmp_path_factory):
    """Six rounds, of which the third and the sixth train earlier cores again; the run is called `whole`."""
    made = toy(tmp_path_factory.mktemp("refitted"), "boosting.refit_every=2", "sampler.use=all")
    made.go("whole")
    return made
