"""Unfinished files and folders under names of their own, and what becomes of those whose maker has died.

A maker holds the lock of what it makes (`flock`); the system frees it when the process ends, however it ends. What nobody holds is
a leftover, and the next writer in the folder removes it. Where the file system has no locks nothing is removed, and what
another machine made, whose locks may not be seen here, only after a day.
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
except ImportError:  # not POSIX: no locks, and so nothing is removed
    fcntl = None

HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
UNFINISHED = re.compile(
    r"\..+\.(?:making|writing)-(?P<host>[0-9a-f]{8})-\d+-[0-9a-f]{8}(?:\.tmp)?", re.DOTALL
)
DAY = 86400.0
MOST = 150
"""Bytes of a name that are kept in the name of what is unfinished: a file's name has at most 255."""


def unfinished(path: Path, what: str = "writing", suffix: str = "") -> Path:
    """A name beside a path that nobody else has: `.NAME.making-HOST-PID-RANDOM`."""
    name = os.fsencode(path.name)[:MOST].decode(errors="ignore")
    return path.with_name(f".{name}.{what}-{HOST}-{os.getpid()}-{secrets.token_hex(4)}{suffix}")


def hold(descriptor: int, path: Path) -> bool:
    """Lock what was just made; False where somebody took it for a leftover before it was locked."""
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
    """A new folder beside a place, for `settle` to give that name; what has not got it is removed.

    Leftovers in the same folder are removed first. Raises `OSError` where no folder can be made.
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
        with suppress(FileNotFoundError):  # it was removed meanwhile
            descriptor = os.open(folder, os.O_RDONLY)
            if hold(descriptor, folder):
                return folder, descriptor
            os.close(descriptor)


def sweep_dead(folder: Path) -> None:
    """Remove unfinished files and folders in a folder whose makers have died."""
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            if found := UNFINISHED.fullmatch(entry.name):
                with suppress(OSError):
                    _remove_dead(Path(entry.path), own=found["host"] == HOST)


def _remove_dead(path: Path, *, own: bool) -> None:
    """Remove it while its lock is held, unless somebody holds it. Raises `OSError` where that cannot be told."""
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
    """When anything in it was last changed."""
    return max(p.lstat().st_mtime for p in (path, *path.rglob("*")))
