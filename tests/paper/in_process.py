"""The command line without a process of its own: what opens transformers once a session, and not once a command."""

from __future__ import annotations

import sys

import pytest


def called(
    arguments: list[str], patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    """Exit code, standard output and standard error (as the operating system sees them: `capture` is `capfd`)."""
    from boostlora.engine.cli import main

    patch.setattr(sys, "argv", ["boostlora", *arguments])
    capture.readouterr()
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    else:
        code = 0
    out, err = capture.readouterr()
    return code if isinstance(code, int) else 1, out, err
