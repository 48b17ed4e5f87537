"""Cache of results between runs: computed once, checked by hash when read, recomputed if damaged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
from numpy.typing import NDArray

from ..errors import RunError
from .atomic import WriteError, read_arrays, write_arrays, write_text
from .durable import make_folder

VARIABLE = "BOOSTLORA_CACHE"
ANOTHER = f"the environment variable {VARIABLE} names the cache folder: set it to a writable one"
Arrays = Mapping[str, NDArray[Any]]


@attrs.frozen
class Cached:
    """A cached file and the hash of its bytes."""

    path: Path
    sha256: str

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays; raises `RunError` if the bytes are not the recorded ones."""
        return read_arrays(self.path, self.sha256)


def key_of(parts: Mapping[str, Any]) -> str:
    """Hash of all inputs of a result."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def arrays_sha256(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Hash of named arrays: names, dtypes, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name}:{array.dtype.str}:{array.shape};".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def cached(folder: Path, key: str, compute: Callable[[], Arrays]) -> Cached:
    """The result for `key`: read from the folder if intact, else computed and written.

    A manifest next to the file holds its hash; a file without a matching manifest counts as absent. If several processes need the
    same result, one computes it while the others wait. On a file system without locks, each computes it and writes atomically.
    """
    found = _read(folder, key)
    if found is None:
        with turn(folder / key):
            if (found := _read(folder, key)) is None:
                arrays = compute()
                with writing_cache(folder):
                    found = _write(folder, key, arrays)
    return found


@contextmanager
def writing_cache(place: Path) -> Generator[None]:
    """Add the variable of the cache folder to errors of writing it. Raises `WriteError`."""
    try:
        yield
    except WriteError as error:
        if VARIABLE in str(error):
            raise
        raise WriteError(f"{error}; {ANOTHER}") from error
    except OSError as error:
        if not Path(str(error.filename or place)).is_relative_to(place.parent):
            raise
        problem = f"{error.filename or place}: cannot be written ({error.strerror or error})"
        raise WriteError(f"{problem}; {ANOTHER}") from error


def _read(folder: Path, key: str) -> Cached | None:
    try:
        found = Cached(
            folder / f"{key}.safetensors",
            json.loads((folder / f"{key}.json").read_text(encoding="utf-8"))["sha256"],
        )
        found.arrays()
    except (OSError, ValueError, KeyError, TypeError, RunError):
        return None
    return found


def _write(folder: Path, key: str, arrays: Arrays) -> Cached:
    path = folder / f"{key}.safetensors"
    sha256 = write_arrays(path, arrays)
    write_text(folder / f"{key}.json", json.dumps({"sha256": sha256}) + "\n")
    return Cached(path, sha256)


@contextmanager
def turn(place: Path) -> Generator[None]:
    """Hold the lock of a cache entry, if the file system has locks. The system frees it when the process ends."""
    from filelock import FileLock  # noqa: PLC0415 - not needed for --help

    lock = FileLock(place.with_name(f"{place.name}.lock"))
    try:
        make_folder(place.parent)
        lock.acquire()
    except (OSError, NotImplementedError):
        yield
        return
    try:
        yield
    finally:
        lock.release()
