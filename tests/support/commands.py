"""The command line in this process, with which fixtures of several folders answer."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest


class Answer(NamedTuple):
    """What a command said."""

    code: int
    out: str
    err: str


Command = Callable[..., Answer]


def command_in(
    folder: Path | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """The command line as users run it, in a folder or, with None, where the test is."""
    from boostlora.engine.cli import main

    if folder is not None:
        monkeypatch.chdir(folder)

    def call(*arguments: str | Path) -> Answer:
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
