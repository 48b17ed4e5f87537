"""One family of toy runs for the session, and the command line in this process."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rollback_toys import Family

from boostlora.engine.cli import COMMANDS, main


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return Family.make(tmp_path_factory.mktemp("family"))


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple]:
    """`command(*words)`: exit code, standard output, standard error."""
    monkeypatch.setitem(COMMANDS, "rollback", "Take a run back to an earlier round.")

    def run(*words: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["boostlora", *map(str, words)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
