"""Files and folders forced to disk: after a power loss a name is there with all that it names, or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def make_folder(folder: Path) -> None:
    """Make a folder and what is missing above it; the entries of new folders are forced to disk."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in reversed(missing):
        sync(made.parent)


def settle(making: Path, place: Path) -> None:
    """Force a file, or a folder with all that it holds, to disk, then give it its name, and force that out too."""
    for root, _, names in os.walk(making, topdown=False):
        for name in names:
            sync(Path(root, name))
        sync(Path(root))
    if not making.is_dir():
        sync(making)
    making.rename(place)
    sync(place.parent)
    if making.parent != place.parent:
        sync(making.parent)


def sync(path: Path) -> None:
    """Force a file's bytes, or a folder's entries, to disk."""
    if os.name != "posix" and path.is_dir():  # other systems cannot open a folder to force it out
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
