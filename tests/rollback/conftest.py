"""One family of toy runs for the session, and the command line in this process."""

import pytest
from command_line import Command, command_in
from rollback_toys import Family


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return Family.make(tmp_path_factory.mktemp("family"))


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`command(*words)`: exit code, standard output, standard error."""
    return command_in(None, monkeypatch, capsys)
