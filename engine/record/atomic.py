"""Writes that happen whole or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..errors import RunError


def write_bytes(path: Path, data: bytes) -> str:
    """Write a file atomically and durably; returns the SHA-256 of its bytes.

    The bytes go to a temporary file in the same folder, are forced to disk, and only then take the name; then the
    folder itself is forced to disk, without which a power loss could forget the rename.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunError(
            f"{path}: cannot be written ({error.strerror or error}); nothing was changed"
        ) from error
    _sync_folder(path.parent)
    return hashlib.sha256(data).hexdigest()


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


def read_arrays(path: Path, sha256: str) -> dict[str, NDArray[Any]]:
    """Read named arrays, and refuse a file whose bytes are not the ones that were written."""
    from safetensors.numpy import load  # noqa: PLC0415

    try:
        data = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror or error})") from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise RunError(
            f"{path}: damaged or altered: its SHA-256 is {found[:12]}…, recorded was {sha256[:12]}…"
        )
    return load(data)
