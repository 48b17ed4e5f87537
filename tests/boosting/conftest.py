"""The command line in this process, and runs that several tests share."""

import sys

import attrs
import pytest
from boosting_toys import toy


@attrs.frozen
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """The command line as users run it, in the test's own folder."""
    from boostlora.engine.cli import main

    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["boostlora", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def refitted(tmp_path_factory):
    """Six rounds, of which the third and the sixth train earlier cores again; the run is called `whole`."""
    made = toy(tmp_path_factory.mktemp("refitted"), "boosting.refit_every=2", "sampler.use=all")
    made.go("whole")
    return made
