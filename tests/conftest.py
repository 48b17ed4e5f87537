"""Fixtures and profiles for the whole suite."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from .support import commands, profiles
from .support.order import costliest_first
from .support.shared import Shared

profiles.load()

# A suite started in the background of a shell has Ctrl-C ignored, and so would every command that it starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Hold every test to its budget of CPU time."""
    from .support.budget import Budget

    config.pluginmanager.register(Budget(config), "budget")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the costliest files, whatever was deselected."""
    costliest_first(items)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """What is made once a session, however many workers read it."""
    return Shared.of_session(tmp_path_factory)


@pytest.fixture(scope="session")
def shared_cache(shared: Shared) -> Path:
    """One cache of the engine for the session, so that a model is pretrained once."""
    return shared.folder / "cache"


@pytest.fixture(scope="session", autouse=True)
def _own_folders(shared_cache: Path) -> Iterator[None]:
    """No test reads or writes the user's cache or runs, and tables are as wide everywhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BOOSTLORA_CACHE", str(shared_cache))
        patch.delenv("BOOSTLORA_RUNS", raising=False)
        patch.setenv("COLUMNS", "200")
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    """No test loses power, so none waits until a disk has what was written; what is forced out, and when, is asked of the calls."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture
def boostlora(tmp_path: Path) -> commands.Command:
    """The command line in this process, in the test's own folder."""

    def run(*arguments: str | Path, cwd: Path = tmp_path, workers: bool = False) -> commands.Answer:
        return commands.boostlora(*arguments, cwd=cwd, workers=workers)

    return run
