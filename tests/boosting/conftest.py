"""The command line in this process, and runs that several tests share."""

import pytest
from boosting_toys import toy
from command_line import command_in


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """The command line as users run it, in the test's own folder."""
    return command_in(tmp_path, monkeypatch, capsys)


@pytest.fixture(scope="session")
def refitted(tmp_path_factory):
    """Six rounds, of which the third and the sixth train earlier cores again; the run is called `whole`."""
    made = toy(tmp_path_factory.mktemp("refitted"), "boosting.refit_every=2", "sampler.use=all")
    made.go("whole")
    return made
