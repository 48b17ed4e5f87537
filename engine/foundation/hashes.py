"""SHA-256 of big files, computed once: remembered by path, size and times of change."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ..errors import RunError
from .atomic import file_sha256, write_text

SMALL = 2**20
"""Smaller files are hashed each time, which costs less than a cache entry."""

FRESH_NS = 2_000_000_000
"""A file changed less than 2 s ago may change again within one tick of the file system's clock (2 s on FAT)."""


def file_sha256_cached(path: Path, cache: Path) -> str:
    """SHA-256 of a file's bytes, from `cache/hashes` where the file has not changed since.

    Unchanged means: the same absolute path, size, modification time and time of the last change of its inode, both in
    nanoseconds; the last cannot be set back, so a file that was replaced under its old date is hashed anew. Raises `OSError`
    for a file that cannot be read.
    """
    path = path.resolve()
    before = path.stat()
    if before.st_size < SMALL:
        return file_sha256(path)
    note = (
        cache / "hashes" / f"{hashlib.sha256(str(path).encode('utf-8', 'surrogateescape')).hexdigest()}.json"
    )
    stamp = [before.st_size, before.st_mtime_ns, before.st_ctime_ns]
    with suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(note.read_text(encoding="utf-8"))
        if known["stamp"] == stamp and len(known["sha256"]) == 64:
            return known["sha256"]
    found = file_sha256(path)
    after = path.stat()
    unchanged = [after.st_size, after.st_mtime_ns, after.st_ctime_ns] == stamp
    if unchanged and time.time_ns() - max(stamp[1:]) > FRESH_NS:
        with suppress(RunError):  # a cache that cannot be written costs time, nothing else
            write_text(note, json.dumps({"path": str(path), "stamp": stamp, "sha256": found}) + "\n")
    return found


def files_sha256(files: Sequence[Path], cache: Path) -> str:
    """One file's SHA-256; of several, the SHA-256 of their hashes, a line each, in order."""
    found = [file_sha256_cached(file, cache) for file in files]
    return found[0] if len(found) == 1 else hashlib.sha256("\n".join(found).encode()).hexdigest()


def folder_files(folder: Path, suffixes: Sequence[str] = ()) -> dict[str, Path]:
    """Files of a folder by their path in it, sorted; nothing hidden; with `suffixes`, only such files at the top."""
    found = folder.iterdir() if suffixes else folder.rglob("*")
    names = {path.relative_to(folder).as_posix(): path for path in found if path.is_file()}
    return {
        name: names[name]
        for name in sorted(names)
        if not any(part.startswith(".") for part in name.split("/"))
        and (not suffixes or names[name].suffix.lower() in suffixes)
    }


def folder_sha256(folder: Path, cache: Path, suffixes: Sequence[str] = ()) -> str:
    """Hash of a folder's files, names and contents."""
    lines = [
        f"{name} {file_sha256_cached(path, cache)}" for name, path in folder_files(folder, suffixes).items()
    ]
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
