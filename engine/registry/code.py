"""Hash of a plugin's code: its file and the files that it imports."""

from __future__ import annotations

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path

OURS = "boostlora"


def code_sha256(file: Path, package: str = "") -> str:
    """Hash of a plugin's file and of all modules that it imports, directly or indirectly, from its folder or other non-installed code.

    Import statements are parsed, not executed, so those inside functions count too; dynamic imports are not found. The standard
    library and installed packages are excluded, since they have versions, except for an installed plugin's own `package`. A file
    without such imports has the hash of its bytes.
    """
    found = _closure(file.resolve(), package)
    if len(found) == 1:
        return hashlib.sha256(found[0].read_bytes()).hexdigest()
    digest = hashlib.sha256()
    for path in found:
        content = path.read_bytes()
        digest.update(f"{_shown(path, file.resolve())}:{len(content)};".encode())
        digest.update(content)
    return digest.hexdigest()


def _shown(path: Path, file: Path) -> str:
    """A path relative to the plugin's folder; elsewhere, the file name."""
    return path.relative_to(file.parent).as_posix() if path.is_relative_to(file.parent) else path.name


def _closure(file: Path, package: str) -> list[Path]:
    """The file, then all imported files in a fixed order."""
    seen, waiting = {file}, [file]
    while waiting:
        path = waiting.pop()
        for other in _imported(path, file.parent, package):
            if other not in seen:
                seen.add(other)
                waiting.append(other)
    return [file, *sorted(seen - {file}, key=lambda path: (_shown(path, file), path))]


def _imported(path: Path, folder: Path, package: str) -> Iterator[Path]:
    """Files of the hashed modules that a file imports."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield from _files(name.name, folder, package)
        elif isinstance(node, ast.ImportFrom) and node.level:
            above = path.parents[node.level - 1] if node.level <= len(path.parents) else path.parent
            base = above.joinpath(*(node.module or "").split("."))
            for place in (base, *(base / name.name for name in node.names)):
                yield from _at(place)
        elif isinstance(node, ast.ImportFrom):
            for name in node.names:
                yield from _files(f"{node.module}.{name.name}", folder, package)


def _files(module: str, folder: Path, package: str) -> Iterator[Path]:
    """Files of an absolute import: each parent package, and the module itself, if it is one."""
    top, *rest = module.split(".")
    place = _place(top, folder, package)
    if place is None:
        return
    yield from _at(place)
    for part in rest:
        place /= part
        yield from _at(place)


def _at(place: Path) -> Iterator[Path]:
    for path in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
        if path.is_file():
            yield path.resolve()


def _place(top: str, folder: Path, package: str) -> Path | None:
    """Path of a top-level module without its suffix; None for one that is not hashed."""
    if top == OURS or top in sys.stdlib_module_names:
        return None
    beside = folder / top
    if any(_at(beside)) or beside.is_dir():
        return beside
    found = PathFinder.find_spec(top)
    if found is None:
        return None
    places = list(found.submodule_search_locations or ())
    if found.origin is None and not places:
        return None
    origin = Path(found.origin) if found.origin else Path(places[0], "__init__.py")
    installed = any(origin.is_relative_to(sysconfig.get_path(kind)) for kind in ("purelib", "platlib"))
    if installed and top != package:
        return None
    return origin.parent if origin.name == "__init__.py" else origin.with_suffix("")
