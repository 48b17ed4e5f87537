"""A first plugin of a kind: its file, a test by the contract suite of its kind, and what to type next."""

from __future__ import annotations

import ast
import builtins
import importlib.util
import keyword
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import attrs
import jinja2

from ..errors import UsageError
from ..foundation.options import shortened
from ..foundation.shell import command_line
from ..registry import KINDS, SERVICES, Kind, Registry
from ..spec.faults import did_you_mean, listed
from .specs import environment

NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
RESERVED = ("conftest",)
"""Files that mean something to pytest."""
ALL: Mapping[str, Kind] = KINDS | SERVICES


@attrs.frozen(kw_only=True)
class PluginDraft:
    """The two files of a new plugin, as text by file name, and its names."""

    kind: Kind
    module: str
    """The file's name without `.py`."""
    name: str
    """The name in specs."""
    cls: str
    files: Mapping[Path, str]
    """The plugin, then its test, if its kind has a contract suite."""

    @property
    def tested(self) -> bool:
        """Whether there is a test."""
        return len(self.files) > 1

    def next_steps(self) -> list[tuple[str, str]]:
        """What to type next: labels, and commands or lines of files."""
        option = ("--plugin", f"{self.module}.py")
        slot, listing = self.kind.slot, f'plugins = ["{self.module}.py"]'
        tried = {
            "executor": ("ablate", "SPEC", *option, "--executor", self.name),
            "tracker": ("run", "quickstart", *option, "--track", self.name),
            "exporter": ("export", "RUN", "--to", self.name, *option),
        }.get(slot, ("check", "quickstart", *option, "--set", f"{slot}.use={self.name}"))
        tables = {
            "executor": f'[ablate.executor] use = "{self.name}"',
            "tracker": f"[trackers.{self.name}]",
            "exporter": "",
        }
        table = tables.get(slot, f'[{slot}] use = "{self.name}"')
        return [
            *([("test", f"python -m pytest test_{self.module}.py")] if self.tested else []),
            ("try", command_line("boostlora", *tried)),
            *([("spec", f"{listing}, at its top"), ("", table)] if table else []),
            ("package", "[project.entry-points.boostlora]"),
            ("", f'{self.module} = "your_package.{self.module}"'),
        ]


def draft_plugin(kind_name: str, module: str, registry: Registry) -> PluginDraft:
    """The files of a new plugin. Raises `UsageError` for an unknown kind, and for a name that cannot be used."""
    kind = ALL.get(kind_name)
    if kind is None:
        hint = did_you_mean(kind_name, list(ALL))
        raise UsageError(
            f'no kind of plugin "{shortened(kind_name)}"; {f"{hint} Kinds" if hint else "kinds"}: {listed(ALL)}'
        )
    name = _legal_name(kind, module, registry)
    cls = "".join(part.capitalize() for part in module.split("_"))
    if cls in _used(kind):
        cls += kind.slot.capitalize()
    values = {"name": name, "module": module, "cls": cls}
    places = (Path(f"{module}.py"), Path(f"test_{module}.py"))
    files = dict(zip(places, _texts(kind, values), strict=False))
    return PluginDraft(kind=kind, module=module, name=name, cls=cls, files=files)


def _texts(kind: Kind, values: Mapping[str, str]) -> list[str]:
    """The plugin, and its test, unless its kind has no contract suite."""
    found = [environment().get_template(f"plugins/{kind.slot}.py.jinja").render(values)]
    with suppress(jinja2.TemplateNotFound):
        found.append(environment().get_template(f"plugins/test_{kind.slot}.py.jinja").render(values))
    return found


def _used(kind: Kind) -> set[str]:
    """Names that the files of a kind use, which its class must not hide."""
    values, used = {"name": "x", "module": "x", "cls": "_"}, set(dir(builtins))
    for text in _texts(kind, values):
        tree = ast.parse(text)
        used |= {
            alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
        }
    return used


def _legal_name(kind: Kind, module: str, registry: Registry) -> str:
    """The name in specs of a plugin in the file `module`. Raises `UsageError`."""
    shown = shortened(module)
    if not NAME.fullmatch(module) or keyword.iskeyword(module):
        better = re.sub(r"[^a-z0-9]+", "_", module.removesuffix(".py").lower()).strip("_")
        hint = f'; did you mean "{better}"?' if NAME.fullmatch(better) and better != module else ""
        raise UsageError(
            f'"{shown}" cannot name a plugin\'s file: lower-case letters, digits and "_", a letter first, no word of Python{hint}'
        )
    name = module.replace("_", "-")
    if (taken := registry.entries(kind.slot).get(name)) is not None:
        raise UsageError(
            f'there is a {kind.slot} "{name}" already, of {taken.origin}; give this one another name'
        )
    if module in RESERVED or _is_installed(module):
        raise UsageError(
            f'"{shown}" is the name of an installed module, which a file {shown}.py would hide; give another name'
        )
    return name


def _is_installed(module: str) -> bool:
    """Whether Python imports a module of this name from elsewhere than the working directory."""
    found = importlib.util.find_spec(module)
    if found is None:
        return False
    places = [found.origin] if found.has_location and found.origin else found.submodule_search_locations or []
    return not places or any(not Path(place).resolve().is_relative_to(Path.cwd()) for place in places)
