"""Input files and folders of cells, found by content hash on machines where their paths do not exist."""

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
"""Folder next to the runs with inputs by hash, for workers on other machines."""


def inputs_of(spec: Spec, plugin_files: Iterable[Path], cache: Path) -> dict[str, str]:
    """SHA-256 by absolute path of every local file and folder that a spec names, and of the plugin files."""
    found = dict[str, str]()
    for used in spec.slots.values():
        for option, sha256 in contents_of(used.plugin).items():
            found[getattr(used.plugin, option)] = sha256
    return found | {str(file.resolve()): file_sha256_cached(file, cache) for file in plugin_files}


def stage(inputs: Mapping[str, str], store: Path) -> None:
    """Copy inputs to the store under their hash, unless present; each appears atomically.

    Raises `RunError` for a failed copy, and for an input that has changed since it was hashed.
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
    """Copy a file or folder and check the copy's hash, since the source may have changed since it was hashed."""
    (shutil.copytree if source.is_dir() else shutil.copy2)(source, copy)
    if not _has_hash(copy, sha256, copy.parent):
        raise RunError(f"{source} ({sha256[:12]}…): has changed since it was hashed; run the study again")


def _rename(copy: Path, place: Path) -> None:
    """Move a copy into place, unless another process was faster."""
    try:
        settle(copy, place)
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise


def _has_hash(path: Path, sha256: str, cache: Path) -> bool:
    """Whether a file, or a folder under any of the file selections for folders, has this hash."""
    if path.is_dir():
        return any(folder_sha256(path, cache, suffixes) == sha256 for suffixes in FOLDERS.values())
    return path.is_file() and file_sha256_cached(path, cache) == sha256


def resolve_inputs(job: Job) -> tuple[str, tuple[Path, ...]]:
    """The job's spec and plugin files with paths on this machine. Raises `RunError` naming a missing input."""
    moved = {name: _locate(name, sha256, job) for name, sha256 in job.inputs.items()}
    files = tuple(Path(moved.get(name, name)) for name in job.plugin_files)
    if all(name == place for name, place in moved.items()):
        return job.spec, files
    return tomli_w.dumps(_replace_paths(tomli.loads(job.spec), moved)), files


def _locate(name: str, sha256: str, job: Job) -> str:
    stored = Path(job.store) / sha256 / Path(name).name
    for place in (Path(name), *([stored] if job.store else [])):
        with suppress(OSError):
            if _has_hash(place, sha256, Path(job.cache)):
                return str(place)
    where = "missing, or changed" + (f", and not in {job.store}" if job.store else "")
    raise RunError(f"{name} ({sha256[:12]}…): {where}; run the study again from the machine that has it")


def _replace_paths(tree: Any, moved: Mapping[str, str]) -> Any:
    match tree:
        case dict():
            return {key: _replace_paths(value, moved) for key, value in tree.items()}
        case list():
            return [_replace_paths(value, moved) for value in tree]
        case str():
            return moved.get(tree, tree)
        case _:
            return tree
