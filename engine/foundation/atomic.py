"""Atomic and durable writes."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from numpy.typing import NDArray

from ..errors import RunError
from .durable import make_folder, sync
from .leftovers import hold, sweep_dead, unfinished

ASIDE = "rolled-back"
"""Folder in a run for rounds set aside by rollbacks, one subfolder each, named by its time (UTC)."""


class WriteError(RunError):
    """A file could not be written. The run can be resumed from what was written before."""


def write_bytes(path: Path, data: bytes) -> str:
    """Write a file atomically and durably; returns the SHA-256 of its bytes.

    The bytes are written to a temporary file in the same folder and synced, then the file is renamed, then the folder is synced:
    without that, a power loss could undo the rename. Temporary files of killed writers are removed first. Raises `WriteError` if the
    system cannot write; the file then has its old or its new bytes, whole.
    """
    temporary = unfinished(path, suffix=".tmp")
    try:
        make_folder(path.parent)
        sweep_dead(path.parent)
        with _held(temporary) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)
        sync(path.parent)
    except OSError as error:
        raise WriteError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        with suppress(OSError):  # the disk may refuse this too
            temporary.unlink(missing_ok=True)
    return hashlib.sha256(data).hexdigest()


def _held(temporary: Path) -> IO[bytes]:
    """A new file, locked so that it does not count as a leftover."""
    while True:
        file = temporary.open("wb")
        if hold(file.fileno(), temporary):
            return file
        file.close()


def remove(path: Path) -> None:
    """Remove a file durably, if it exists. Raises `WriteError` if the system cannot."""
    try:
        path.unlink()
        sync(path.parent)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise WriteError(f"{path}: cannot be removed ({error.strerror or error})") from error


def sweep(folder: Path) -> None:
    """Remove unfinished files of killed writers in a run's folder. The caller holds its lock."""
    for leftover in folder.rglob(".*.tmp"):
        with suppress(OSError):
            leftover.unlink()
    for leftover in (folder / ASIDE).glob(".*"):  # of a rollback that was killed before it changed the run
        shutil.rmtree(leftover, ignore_errors=True)


def write_text(path: Path, text: str) -> str:
    """Write a UTF-8 text file atomically; returns the SHA-256 of its bytes."""
    return write_bytes(path, text.encode())


def write_arrays(
    path: Path, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] | None = None
) -> str:
    """Write named arrays as safetensors, atomically; returns the SHA-256 of the file."""
    import numpy as np  # noqa: PLC0415 - kept out of commands that write only text
    from safetensors.numpy import save  # noqa: PLC0415

    ordered = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    return write_bytes(path, save(ordered, metadata=dict(metadata) if metadata else None))


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_file(path: Path, sha256: str) -> None:
    """Raise `RunError` for a file with other bytes than were written."""
    try:
        found = file_sha256(path)
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror or error})") from error
    _require(path, found, sha256)


def read_arrays(path: Path, sha256: str) -> dict[str, NDArray[Any]]:
    """Read named arrays. Raises `RunError` for a file with other bytes than were written."""
    from safetensors.numpy import load  # noqa: PLC0415

    try:
        data = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror or error})") from error
    _require(path, hashlib.sha256(data).hexdigest(), sha256)
    return dict(sorted(load(data).items()))  # the library's own order differs between processes


def _require(path: Path, found: str, recorded: str) -> None:
    if found != recorded:
        raise RunError(
            f"{path}: damaged or altered: its SHA-256 is {found[:12]}…, recorded was {recorded[:12]}…"
        )
