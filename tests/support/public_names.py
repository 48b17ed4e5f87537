"""Public names of a package, read from its sources without importing it: what reference pages must show."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import attrs

from .places import ROOT

FOLDERS = {"boostlora.engine": ROOT / "engine"}
DEFINITIONS = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@attrs.frozen
class Name:
    """A public name where it is defined."""

    module: str
    name: str

    @property
    def path(self) -> str:
        """As a reference page would have it."""
        return f"{self.module}.{self.name}"


def place_of(module: str) -> Path:
    """A module's file."""
    package = next(name for name in FOLDERS if module == name or module.startswith(f"{name}."))
    place = FOLDERS[package].joinpath(*module.removeprefix(package).split(".")[1:])
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


@functools.cache
def tree_of(module: str) -> ast.Module:
    """A module's syntax tree."""
    return ast.parse(place_of(module).read_text(encoding="utf-8"))


def exported(module: str) -> list[str]:
    """What a module offers: its `__all__`, or else the classes and functions it defines, but for those that begin with `_`."""
    for node in tree_of(module).body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                return list(ast.literal_eval(value))
    found = [node.name for node in tree_of(module).body if isinstance(node, DEFINITIONS)]
    return [name for name in found if not name.startswith("_")]


def defined(module: str, name: str) -> Name:
    """Where a name comes from, through every import from a module of the package."""
    for node in ast.walk(tree_of(module)):
        if not isinstance(node, ast.ImportFrom) or node.level == 0:
            continue
        for alias in node.names:
            if (alias.asname or alias.name) == name:
                return defined(_source(module, node), alias.name)
    return Name(module, name)


def _source(module: str, node: ast.ImportFrom) -> str:
    """The module that a relative import names."""
    parts = module.split(".")
    ups = node.level - (place_of(module).name == "__init__.py")
    base = parts[: len(parts) - ups] if ups else parts
    return ".".join([*base, *([node.module] if node.module else [])])


def undocumented(name: Name) -> Iterator[str]:
    """The name itself where it has no docstring, and each public method of it that has none."""
    body = tree_of(name.module).body
    for number, node in enumerate(body):
        match node:
            case ast.ClassDef() | ast.FunctionDef() if node.name == name.name:
                if not ast.get_docstring(node):
                    yield name.path
                if isinstance(node, ast.ClassDef):
                    yield from _silent_methods(name, node)
                return
            case ast.Assign(targets=[ast.Name(id=name.name)]) | ast.AnnAssign(target=ast.Name(id=name.name)):
                if not _is_text(body[number + 1] if number + 1 < len(body) else None):
                    yield name.path
                return
    yield f"{name.path} (not found)"


def _silent_methods(name: Name, node: ast.ClassDef) -> Iterator[str]:
    methods = [inner for inner in node.body if isinstance(inner, ast.FunctionDef)]
    for method in methods:
        if not method.name.startswith(("_", "test_")) and not ast.get_docstring(method):
            yield f"{name.path}.{method.name}"


def _is_text(node: ast.stmt | None) -> bool:
    match node:
        case ast.Expr(value=ast.Constant(value=str())):
            return True
    return False
