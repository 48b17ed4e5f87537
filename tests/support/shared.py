"""What many tests read is made once a session: the first worker that asks makes it, the others wait."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from filelock import FileLock


@attrs.frozen
class Shared:
    """A folder of the session that all its workers share."""

    folder: Path

    @classmethod
    def of_session(cls, factory: pytest.TempPathFactory) -> Shared:
        """The session's folder; a worker's own folder lies inside the session's."""
        own = factory.getbasetemp()
        folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"
        folder.mkdir(exist_ok=True)
        return cls(folder)

    def made(self, name: str, make: Callable[[Path], object]) -> Path:
        """The folder `name`, which `make` fills unless a worker has done so; what a failed attempt leaves is removed.

        Readers must leave it as it is: a test that changes something takes a copy.
        """
        path, done = self.folder / name, self.folder / f"{name}.done"
        with FileLock(self.folder / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(path, ignore_errors=True)
                path.mkdir(parents=True)
                make(path)
                done.touch()
        return path
