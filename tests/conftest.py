"""Fixtures and profiles for the whole suite."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("ci", deadline=None, derandomize=True)
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

# A suite started in the background of a shell has Ctrl-C ignored, and so would every command that it starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the session, so that a model is pretrained once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_folders(shared_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache or runs."""
    monkeypatch.setenv("BOOSTLORA_CACHE", str(shared_cache))
    monkeypatch.delenv("BOOSTLORA_RUNS", raising=False)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def boostlora(tmp_path: Path) -> Command:
    """The command line as users run it: the installed console script, in an empty folder."""
    script = Path(sys.executable).with_name("boostlora")

    def run(
        *arguments: str | Path, cwd: Path = tmp_path, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        command = [str(script), *(str(a) for a in arguments)]
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False)

    return run
