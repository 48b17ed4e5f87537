"""A study's spec as one self-contained text: without `extends`, with absolute paths, so that it runs from any folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import tomli_w

from ..foundation.options import FilePath, ModelPath
from ..registry import KINDS, Registry
from ..spec.document import Document
from ..spec.structure import PATHS


def study_toml(document: Document, registry: Registry, name: str) -> str:
    """The study's document as TOML."""
    tree = {"name": name, **{key: value for key, value in document.tree.items() if key != "name"}}
    options = {o: types for slot in KINDS for o, types in _path_options(slot, registry).items()}
    options["start.run"] = {ModelPath}  # also a folder
    return tomli_w.dumps(
        {key: _absolute_paths(value, (key,), options, document) for key, value in tree.items()}
    )


def _path_options(slot: str, registry: Registry) -> dict[str, set[Any]]:
    """Every option that names a file or a folder, as `slot.option`, with its types in the plugins that have it."""
    found = dict[str, set[Any]]()
    for entry in registry.entries(slot).values():
        attrs.resolve_types(entry.cls)
        for field in attrs.fields(entry.cls):
            if field.type in PATHS:
                found.setdefault(f"{slot}.{field.name}", set()).add(field.type)
    return found


def _absolute_paths(
    value: Any, path: tuple[str | int, ...], options: Mapping[str, set[Any]], document: Document
) -> Any:
    """A value with relative paths made absolute if they exist."""
    if isinstance(value, dict):
        return {k: _absolute_paths(v, (*path, k), options, document) for k, v in value.items()}
    if isinstance(value, list):
        return [_absolute_paths(v, (*path, i), options, document) for i, v in enumerate(value)]
    names = ".".join(str(part) for part in path if isinstance(part, str))
    types = {t for o, some in options.items() for t in some if names == o or names.endswith("." + o)}
    if isinstance(value, str) and value and types:  # an empty string is no path, not the current folder
        folder = document.location(path).value.source.folder
        checks = [Path.is_file if kind is FilePath else Path.is_dir for kind in types]
        return next((place for exists in checks if (place := _existing(folder, value, exists))), value)
    return value


def _existing(folder: Path, name: str, exists: Callable[[Path], bool]) -> str:
    """The absolute path, resolved like paths in a spec; empty if it does not exist or is invalid."""
    try:
        path = (folder / Path(name).expanduser()).resolve()
        return str(path) if exists(path) else ""
    except (OSError, ValueError, RuntimeError):
        return ""
