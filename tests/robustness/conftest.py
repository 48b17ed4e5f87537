"""A finished run, its boost file and a finished study, made once."""

import os
from pathlib import Path

import pytest

from ..support.commands import boostlora
from ..support.shared import Shared
from .whole import STUDY, Whole


@pytest.fixture(scope="session")
def whole(shared: Shared) -> Whole:
    """What nothing has happened to yet."""
    return Whole(shared.made("robustness", _make))


def _make(folder: Path) -> None:
    whole = Whole(folder)
    (folder / "tiny.toml").write_text(STUDY)
    before = os.environ.get("BOOSTLORA_CACHE")
    os.environ["BOOSTLORA_CACHE"] = str(whole.cache)
    try:
        for command in (whole.RUN, whole.BOOST, whole.EXPORT, whole.ABLATE):
            done = boostlora(*command, cwd=folder, workers=True)  # with their number of threads
            assert done.returncode == 0, done.stderr
    finally:
        del os.environ["BOOSTLORA_CACHE"]
        if before is not None:
            os.environ["BOOSTLORA_CACHE"] = before
