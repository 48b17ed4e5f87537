"""Files and folders that cells need, found by their contents where their paths mean nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import tomli
import tomli_w

from ..contracts import Job
from ..errors import RunError
from ..record.hashes import file_sha256_cached
from ..spec import Spec
from ..spec.spec import contents_of

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
    """Put inputs into the store, each under its hash, unless it is there; each appears whole or not at all."""
    for name, sha256 in inputs.items():
        source, place = Path(name), store / sha256 / Path(name).name
        if place.exists():
            continue
        temporary = place.with_name(f".{place.name}.{os.getpid()}.tmp")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if source.is_dir() else shutil.copy2
            copy(source, temporary)
            with suppress(FileExistsError):
                temporary.rename(place)
        except OSError as error:
            raise RunError(f"{name}: cannot be copied to {place} ({error.strerror or error})") from error
        finally:
            if source.is_dir():
                shutil.rmtree(temporary, ignore_errors=True)
            else:
                temporary.unlink(missing_ok=True)


def localised(job: Job) -> tuple[str, tuple[Path, ...]]:
    """The job's spec and its plugin files, with paths that this machine has. Raises `RunError` naming what is nowhere."""
    moved = {name: _found(name, sha256, job) for name, sha256 in job.inputs.items()}
    files = tuple(Path(moved.get(name, name)) for name in job.plugin_files)
    if all(name == place for name, place in moved.items()):
        return job.spec, files
    return tomli_w.dumps(_replaced(tomli.loads(job.spec), moved)), files


def _found(name: str, sha256: str, job: Job) -> str:
    path = Path(name)
    with suppress(OSError):
        if path.is_dir() or (path.is_file() and file_sha256_cached(path, Path(job.cache)) == sha256):
            return name
    stored = Path(job.store) / sha256 / path.name
    if job.store and stored.exists():
        return str(stored)
    where = f"neither there nor in {job.store}" if job.store else "not there, or no longer what it was"
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
