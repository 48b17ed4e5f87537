"""Writes that happen whole or not at all."""

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
"""The folder in a run that holds what was set aside, in a folder for each time, named by the time (UTC)."""


class WriteError(RunError):
    """The system could not write a file; once it can, the run goes on from what was written before."""


def write_bytes(path: Path, data: bytes) -> str:
    """Write a file atomically and durably; returns the SHA-256 of its bytes.

    The bytes go to a temporary file in the same folder, are forced to disk, and only then take the name; then the
    folder itself is forced to disk, without which a power loss could forget the rename. Temporary files of writers that were
    killed in the folder are removed first. Raises `WriteError` when the system cannot; then the file holds its old bytes or its
    new ones, whole.
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
    """A new file that nobody takes for a leftover while it is open."""
    while True:
        file = temporary.open("wb")
        if hold(file.fileno(), temporary):
            return file
        file.close()


def remove(path: Path) -> None:
    """Remove a file that may not be there, durably. Raises `WriteError` when the system cannot."""
    try:
        path.unlink()
        sync(path.parent)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise WriteError(f"{path}: cannot be removed ({error.strerror or error})") from error


def sweep(folder: Path) -> None:
    """Remove what killed writers left unfinished in a run's folder, whose lock the caller holds."""
    for leftover in folder.rglob(".*.tmp"):
        with suppress(OSError):
            leftover.unlink()
    for leftover in (folder / ASIDE).glob(".*"):  # of a rollback that had changed nothing yet
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
    """Refuse a file whose bytes are not the ones that were written."""
    try:
        found = file_sha256(path)
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror or error})") from error
    _require(path, found, sha256)


def read_arrays(path: Path, sha256: str) -> dict[str, NDArray[Any]]:
    """Read named arrays, and refuse a file whose bytes are not the ones that were written."""
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
