"""The registry: built-in plugins by dotted name, installed ones by entry point, a user's own by file."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import pluggy

from .. import hookspecs
from ..errors import UsageError, place_of
from .code import code_sha256
from .kinds import KINDS, SERVICES, Kind

BUILT_IN = "boostlora.plugins"
BACKENDS = "boostlora.backends"
GROUP = "boostlora"
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
ALL = KINDS | SERVICES


@attrs.frozen(kw_only=True)
class Entry:
    """A registered plugin: its name in specs, its attrs class, and where it comes from."""

    kind: Kind
    name: str
    cls: type[Any]
    origin: str
    code: str = ""
    """SHA-256 of the plugin's code, where it does not come with this package."""
    distribution: str = ""
    """Name and version of the package that it was installed with."""


@attrs.frozen(kw_only=True)
class BrokenPlugin:
    """A plugin that could not be loaded, and why."""

    origin: str
    reason: str


class PluginFileError(UsageError):
    """A file given by path that cannot be loaded."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"--plugin {file}: {reason}")
        self.file, self.reason = file, reason

    def __reduce__(self) -> tuple[type[PluginFileError], tuple[Path, str]]:
        """Pickle by the arguments of `__init__`, not by the message alone."""
        return type(self), (self.file, self.reason)


class _Offers:
    """The `register` function that plugins call; it collects their offers."""

    def __init__(self) -> None:
        self.made: list[tuple[str, type[Any]]] = []

    def __call__(self, name: str, cls: type[Any]) -> None:
        self.made.append((name, cls))


class Registry:
    """All plugins of a process, by kind and name."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager(hookspecs.PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self.broken: list[BrokenPlugin] = []
        self.files: tuple[Path, ...] = ()
        """Plugin files given by path."""
        self._entries: dict[str, dict[str, Entry]] = {slot: {} for slot in ALL}

    @classmethod
    def load(cls, files: tuple[Path, ...] = ()) -> Registry:
        """Load built-in plugins, then installed ones, then the given files. Raises `PluginFileError` for a file that fails."""
        registry = cls()
        registry._take_over(cls._built_in())
        for point in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda p: (p.name, p.value)):
            registry._guarded(f"{point.name} ({point.value})", point.load, point)
        registry.files = files
        for file in files:
            before = len(registry.broken)
            registry._guarded(str(file), lambda file=file: _module_of(file))
            if len(registry.broken) > before:  # a file given by path must load
                raise PluginFileError(file, registry.broken[-1].reason)
        return registry

    @classmethod
    @functools.cache
    def _built_in(cls) -> Registry:
        """The built-in plugins, loaded once a process."""
        registry = cls()
        for name in _built_in_modules():
            registry._guarded(name, lambda name=name: importlib.import_module(name))
        return registry

    def _take_over(self, other: Registry) -> None:
        """Add the plugins of another registry, which has checked them."""
        self.broken += other.broken
        for slot, entries in self._entries.items():
            entries.update(other.entries(slot))
        for origin, plugin in other.manager.list_name_plugin():
            callers = other.manager.get_hookcallers(plugin) or []
            if not all(caller.name.startswith("register_") for caller in callers):
                self.manager.register(plugin, name=origin)

    def entries(self, slot: str) -> dict[str, Entry]:
        """The plugins of one kind, by name."""
        return self._entries[slot]

    def name_of(self, slot: str, plugin: object) -> str:
        """The name under which a plugin's class is registered."""
        return next(e.name for e in self._entries[slot].values() if e.cls is type(plugin))

    def _guarded(
        self, origin: str, load: Callable[[], object], point: importlib.metadata.EntryPoint | None = None
    ) -> None:
        try:
            self.add(load(), origin, point)
        except (Exception, SystemExit) as error:
            reason = (
                str(error)
                if isinstance(error, UsageError)
                else f"{type(error).__name__}: {error}{place_of(error)}"
            )
            self.broken.append(BrokenPlugin(origin=origin, reason=reason))

    def add(self, plugin: object, origin: str, point: importlib.metadata.EntryPoint | None = None) -> None:
        """Register one plugin, whole or not at all; `point` is where an installed one was found.

        Raises `UsageError` saying what is wrong with it.
        """
        try:
            self.manager.register(plugin, name=origin)
            self.manager.check_pending()
        except (pluggy.PluginValidationError, ValueError) as error:
            if self.manager.is_registered(plugin):
                self.manager.unregister(plugin)
            raise UsageError(_explain(error)) from error
        if not self.manager.get_hookcallers(plugin):
            self.manager.unregister(plugin)
            raise UsageError("implements no hook; its functions must be marked with @hookimpl")
        try:
            code, distribution = self._code(plugin, origin, point)
            for entry in [
                attrs.evolve(e, code=code, distribution=distribution) for e in self._offered(plugin, origin)
            ]:
                self._entries[entry.kind.slot][entry.name] = entry
        except (Exception, SystemExit):
            self.manager.unregister(plugin)
            raise

    def _offered(self, plugin: object, origin: str) -> Iterator[Entry]:
        """Entries of the plugin, each checked against its kind."""
        for kind in ALL.values():
            implementation = getattr(plugin, kind.hook, None)
            if implementation is None or self.manager.parse_hookimpl_opts(plugin, kind.hook) is None:
                continue
            offers = _Offers()
            implementation(offers)
            for name, cls in offers.made:
                self._check(kind, name, cls)
                if [other for other, _ in offers.made].count(name) > 1:
                    raise UsageError(f'{kind.hook}: the name "{name}" is offered twice')
                yield Entry(kind=kind, name=name, cls=cls, origin=origin)

    def _code(
        self, plugin: object, origin: str, point: importlib.metadata.EntryPoint | None
    ) -> tuple[str, str]:
        """The hash of a plugin's code, and the package it was installed with."""
        if Path(origin) in self.files:
            return code_sha256(Path(origin)), ""
        if point is None:
            return "", ""
        found = f"{point.dist.name} {point.dist.version}" if point.dist is not None else ""
        file = getattr(sys.modules.get(point.module, plugin), "__file__", None)
        return code_sha256(Path(file), point.module.partition(".")[0]) if file else "", found

    def _check(self, kind: Kind, name: object, cls: object) -> None:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise UsageError(f"{kind.hook}: the name {name!r} does not match {NAME.pattern}")
        if not isinstance(cls, type) or not attrs.has(cls):
            raise UsageError(f'{kind.hook}: "{name}" is {cls!r}, not an attrs class')
        fields = {field.name for field in attrs.fields(cls)}
        if missing := kind.missing(set(dir(cls)) | fields):
            raise UsageError(f'{kind.hook}: "{name}" ({cls.__name__}) lacks {", ".join(missing)}')
        if "use" in fields:
            raise UsageError(f'{kind.hook}: "{name}" has an option "use", which names the plugin itself')
        attrs.resolve_types(cls)
        taken = self._entries[kind.slot].get(name)
        if taken is not None:
            raise UsageError(f'{kind.hook}: the name "{name}" is already taken by {taken.origin}')


def _explain(error: Exception) -> str:
    """Pluggy's message, with a did-you-mean for the hook."""
    message = str(error).strip().replace("\n", " ")
    unknown = re.search(r"unknown hook '(\w+)'", message)
    if unknown is None:
        return message
    hooks = [name for name in vars(hookspecs) if name.startswith(("register_", "run_", "round_"))]
    close = get_close_matches(unknown[1], hooks, n=1)
    return f'unknown hook "{unknown[1]}"' + (f'; did you mean "{close[0]}"?' if close else "")


def _built_in_modules() -> Iterator[str]:
    """All modules in the folders of plugins and backends: one file a plugin, no list to maintain."""
    for root in (BUILT_IN, BACKENDS):
        for room in pkgutil.iter_modules(importlib.import_module(root).__path__):
            name = f"{root}.{room.name}"
            if root == BACKENDS:
                yield f"{name}.backend"
                continue
            for module in pkgutil.iter_modules(importlib.import_module(name).__path__):
                if not module.name.startswith("_"):
                    yield f"{name}.{module.name}"


def _module_of(file: Path) -> ModuleType:
    """Import a user's plugin file."""
    if not file.is_file():
        raise UsageError("no such file")
    name = f"boostlora_plugin_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UsageError("not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # attrs resolves annotations through it
    spec.loader.exec_module(module)
    return module
