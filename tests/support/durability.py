"""What the system is asked for, and what writers leave that were killed."""

import os
from pathlib import Path

import pytest

from boostlora.engine.foundation import leftovers
from boostlora.engine.foundation.leftovers import unfinished


def asked_of_the_system(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the system was asked for, in order: `fsync NAME`, `rename NAME`, `mkdir NAME`."""
    found = list[str]()
    fsync, rename, replace, mkdir = os.fsync, os.rename, os.replace, os.mkdir

    def named(descriptor: int) -> str:
        return Path(f"/proc/self/fd/{descriptor}").readlink().name

    monkeypatch.setattr(os, "fsync", lambda fd: (found.append(f"fsync {named(fd)}"), fsync(fd)))
    for name, real in (("rename", rename), ("replace", replace)):
        monkeypatch.setattr(
            os, name, lambda a, b, real=real, **k: (found.append(f"rename {Path(b).name}"), real(a, b, **k))
        )
    monkeypatch.setattr(
        os, "mkdir", lambda p, *a, **k: (found.append(f"mkdir {Path(p).name}"), mkdir(p, *a, **k))
    )
    return found


def dead(place: Path, host: str = leftovers.HOST) -> Path:
    """What a writer that was killed has left of a file, and of a folder."""
    name = unfinished(place, "making").name.replace(leftovers.HOST, host)
    (place.parent / name).mkdir()
    (place.parent / name / "model").write_bytes(b"x" * 100)
    file = unfinished(place, suffix=".tmp").name.replace(leftovers.HOST, host)
    (place.parent / file).write_bytes(b"x")
    return place.parent
