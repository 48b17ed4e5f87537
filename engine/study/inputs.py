"""Files and folders that cells need, found by their contents where their paths mean nothing."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import tomli
import tomli_w

from ..contracts import Job
from ..errors import RunError
from ..foundation.durable import settle
from ..foundation.hashes import file_sha256_cached, folder_sha256
from ..foundation.leftovers import making
from ..spec import Spec
from ..spec.spec import FOLDERS, contents_of

STORE = "inputs"
"""Folder beside the runs that holds inputs by their hash, for workers on other machines."""


def inputs_of(spec: Spec, plugin_files: Iterable[Path], cache: Path) -> dict[str, str]:
    """SHA-256 of every local file and folder that a spec and its plugin files name, by absolute path."""
    found = dict[str, str]()
    for used in spec.slots.values():
        for option, sha256 in contents_of(used.plugin).items():
            found[getattr(used.plugin, option)] = sha256
    return found | {str(file.resolve()): file_sha256_cached(file, cache) for file in plugin_files}


def stage(inputs: Mapping[str, str], store: Path) -> None:
    """Put inputs into the store, each under its hash, unless it is there; each appears whole or not at all.

    Raises `RunError` for what cannot be copied, and for what is no longer what was hashed.
    """
    for name, sha256 in inputs.items():
        source, place = Path(name), store / sha256 / Path(name).name
        if not place.exists():
            try:
                with making(place) as folder:
                    _copy(source, folder / place.name, sha256)
                    _rename(folder / place.name, place)
            except OSError as error:
                raise RunError(f"{name}: cannot be copied to {place} ({error.strerror or error})") from error


def _copy(source: Path, copy: Path, sha256: str) -> None:
    """Copy a file or a folder; what is copied is held to the hash, since it may have changed after it was hashed."""
    (shutil.copytree if source.is_dir() else shutil.copy2)(source, copy)
    if not _holds(copy, sha256, copy.parent):
        raise RunError(f"{source} ({sha256[:12]}…): has changed meanwhile; run the study again")


def _rename(copy: Path, place: Path) -> None:
    """Move a copy to its place, unless another process was first."""
    try:
        settle(copy, place)
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise


def _holds(path: Path, sha256: str, cache: Path) -> bool:
    """Whether a file, or a folder by any of the ways in which a folder's contents count, has this hash."""
    if path.is_dir():
        return any(folder_sha256(path, cache, suffixes) == sha256 for suffixes in FOLDERS.values())
    return path.is_file() and file_sha256_cached(path, cache) == sha256


def localised(job: Job) -> tuple[str, tuple[Path, ...]]:
    """The job's spec and its plugin files, with paths that this machine has. Raises `RunError` naming what is nowhere."""
    moved = {name: _found(name, sha256, job) for name, sha256 in job.inputs.items()}
    files = tuple(Path(moved.get(name, name)) for name in job.plugin_files)
    if all(name == place for name, place in moved.items()):
        return job.spec, files
    return tomli_w.dumps(_replaced(tomli.loads(job.spec), moved)), files


def _found(name: str, sha256: str, job: Job) -> str:
    stored = Path(job.store) / sha256 / Path(name).name
    for place in (Path(name), *([stored] if job.store else [])):
        with suppress(OSError):
            if _holds(place, sha256, Path(job.cache)):
                return str(place)
    where = "not there, or no longer what it was" + (f", and neither in {job.store}" if job.store else "")
    raise RunError(f"{name} ({sha256[:12]}…): {where}; run the study again from the machine that has it")


def _replaced(tree: Any, moved: Mapping[str, str]) -> Any:
    match tree:
        case dict():
            return {key: _replaced(value, moved) for key, value in tree.items()}
        case list():
            return [_replaced(value, moved) for value in tree]
        case str():
            return moved.get(tree, tree)
        case _:
            return tree
