"""A study's spec as one text: what it extends written out, paths absolute, so that it can be run again from anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import tomli_w

from ..registry import KINDS, Registry
from ..spec.document import Document
from ..spec.structure import PATHS


def study_toml(document: Document, registry: Registry, name: str) -> str:
    """The study's document as TOML."""
    tree = {"name": name, **{key: value for key, value in document.tree.items() if key != "name"}}
    options = {option for slot in KINDS for option in _path_options(slot, registry)}
    return tomli_w.dumps({key: _placed(value, (key,), options, document) for key, value in tree.items()})


def _path_options(slot: str, registry: Registry) -> set[str]:
    """`slot.option` of every option that names a file or a folder, whichever plugin has it."""
    entries = registry.entries(slot).values()
    return {f"{slot}.{f.name}" for e in entries for f in attrs.fields(e.cls) if f.type in PATHS}


def _placed(value: Any, path: tuple[str | int, ...], options: set[str], document: Document) -> Any:
    """A value with the relative paths in it made absolute, where they are paths of something that exists."""
    if isinstance(value, dict):
        return {k: _placed(v, (*path, k), options, document) for k, v in value.items()}
    if isinstance(value, list):
        return [_placed(v, (*path, i), options, document) for i, v in enumerate(value)]
    names = ".".join(str(part) for part in path if isinstance(part, str))
    if isinstance(value, str) and any(names == option or names.endswith("." + option) for option in options):
        place = (document.mark(path).value.source.folder / Path(value).expanduser()).resolve()
        return str(place) if place.exists() else value
    return value
