"""Temporary names for unfinished files and folders, and the removal of those left by dead processes.

A process locks what it writes (`flock`), and the system releases the lock when the process ends, even if it is killed. Unlocked
temporary files are leftovers, which the next writer in the folder removes. Without file locks nothing is removed. Leftovers of
another machine, whose locks may be invisible here, are removed after a day.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from .durable import make_folder

try:
    import fcntl
except ImportError:  # not POSIX: without locks, nothing is removed
    fcntl = None

HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
UNFINISHED = re.compile(
    r"\..+\.(?:making|writing)-(?P<host>[0-9a-f]{8})-\d+-[0-9a-f]{8}(?:\.tmp)?", re.DOTALL
)
DAY = 86400.0
MOST = 150
"""Bytes of the final name kept in the temporary one; a file name has at most 255."""


def unfinished(path: Path, what: str = "writing", suffix: str = "") -> Path:
    """A unique temporary name beside a path: `.NAME.making-HOST-PID-RANDOM`."""
    name = os.fsencode(path.name)[:MOST].decode(errors="ignore")
    return path.with_name(f".{name}.{what}-{HOST}-{os.getpid()}-{secrets.token_hex(4)}{suffix}")


def hold(descriptor: int, path: Path) -> bool:
    """Lock a new file or folder; False if another process removed it as a leftover before it was locked."""
    if fcntl is None:
        return True
    with suppress(OSError):  # a file system without locks
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def making(place: Path) -> Generator[Path]:
    """A temporary folder beside `place`, which `settle` renames to `place`; without that, it is removed at the end.

    Leftovers in the same folder are removed first. Raises `OSError` if the folder cannot be created.
    """
    make_folder(place.parent)
    sweep_dead(place.parent)
    folder, descriptor = _held_folder(place)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _held_folder(place: Path) -> tuple[Path, int]:
    while True:
        folder = unfinished(place, "making")
        folder.mkdir()
        with suppress(FileNotFoundError):  # removed by another process
            descriptor = os.open(folder, os.O_RDONLY)
            if hold(descriptor, folder):
                return folder, descriptor
            os.close(descriptor)


def sweep_dead(folder: Path) -> None:
    """Remove a folder's unfinished files and folders whose processes have ended."""
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            if found := UNFINISHED.fullmatch(entry.name):
                with suppress(OSError):
                    _remove_dead(Path(entry.path), own=found["host"] == HOST)


def _remove_dead(path: Path, *, own: bool) -> None:
    """Remove a leftover while holding its lock. Raises `OSError` if another process holds it, or it cannot be locked."""
    if fcntl is None or not (own or time.time() - _newest(path) > DAY):
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    finally:
        os.close(descriptor)


def _newest(path: Path) -> float:
    """Time of the last change of a file, or of anything in a folder."""
    return max(p.lstat().st_mtime for p in (path, *path.rglob("*")))
