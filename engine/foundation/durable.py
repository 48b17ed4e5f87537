"""Files and folders synced to disk: after a power loss, a name exists with its whole content, or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def make_folder(folder: Path) -> None:
    """Create a folder and its missing parents, and sync the new entries."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in reversed(missing):
        sync(made.parent)


def settle(making: Path, place: Path) -> None:
    """Sync a file or a folder with its content, rename it to `place`, and sync the rename."""
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
    """Sync a file's bytes, or a folder's entries, to disk."""
    if os.name != "posix" and path.is_dir():  # other systems cannot open a folder
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
