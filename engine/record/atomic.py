"""Writes that happen whole or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..errors import RunError


class WriteError(RunError):
    """The system could not write a file; once it can, the run goes on from what was written before."""


def write_bytes(path: Path, data: bytes) -> str:
    """Write a file atomically and durably; returns the SHA-256 of its bytes.

    The bytes go to a temporary file in the same folder, are forced to disk, and only then take the name; then the
    folder itself is forced to disk, without which a power loss could forget the rename. Raises `WriteError` when the system
    cannot; then the file holds its old bytes or its new ones, whole.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise WriteError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        with suppress(OSError):  # the disk may refuse this too
            temporary.unlink(missing_ok=True)
    return hashlib.sha256(data).hexdigest()


def sweep(folder: Path) -> None:
    """Remove the temporary files of writers that were killed; nobody else may be writing under the folder."""
    for leftover in folder.rglob(".*.tmp"):
        with suppress(OSError):
            leftover.unlink()


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":  # other systems cannot open a folder to force it out
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
