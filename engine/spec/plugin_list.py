"""The key `plugins` of a spec: files with plugins, beside the spec."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs

from ..foundation.options import shortened
from ..foundation.shell import command_line
from .faults import Fault, Span, SpecError

KEY = "plugins"
SUFFIX = ".py"
EXAMPLE = 'such as plugins = ["cosine.py"]'


@attrs.frozen(eq=False)
class PluginFile:
    """A file that a spec names, and the position of its name."""

    path: Path
    """Absolute, without symbolic links."""
    name: str
    span: Span

    @property
    def option(self) -> str:
        """The option that loads the file."""
        return command_line("--plugin", self.path)


def read_plugin_list(value: Any, spans: Iterable[Span]) -> tuple[PluginFile, ...]:
    """The files of a list, with the position of the list and of each item. Raises `SpecError` with all faults.

    A file must exist in the folder of its spec or below it, so that a spec runs no code that did not come with it.
    """
    whole, *items = spans
    if not isinstance(value, list):
        hint = f"did you mean {KEY} = [{_show(value)}]?" if isinstance(value, str) else EXAMPLE
        message = f"{KEY} must be a list of file names, got {_show(value)}"
        raise SpecError([Fault(message=message, span=whole, hint=hint)])
    found, faults = dict[Path, PluginFile](), list[Fault]()
    for name, span in zip(value, items, strict=True):
        try:
            path = _legal(name, span.source.folder)
        except _UnusableError as error:
            text, hint = error.args
            faults.append(Fault(message=f"{KEY}: {text}", span=span, hint=hint))
        else:
            found.setdefault(path, PluginFile(path=path, name=name, span=span))
    if faults:
        raise SpecError(faults)
    return tuple(found.values())


def joined(base: Iterable[PluginFile], top: Iterable[PluginFile]) -> tuple[PluginFile, ...]:
    """The files of both, each once, those of `base` first."""
    found = dict[Path, PluginFile]()
    for plugin in (*base, *top):
        found.setdefault(plugin.path, plugin)
    return tuple(found.values())


def not_loaded(plugin: PluginFile) -> Fault:
    """The fault of a file whose spec was not named by a person, such as that of a run's folder."""
    return Fault(
        message=f"{KEY}: {shortened(plugin.name, 200)} is not loaded: specs in folders of runs and studies run no code",
        span=plugin.span,
        hint=f"review the file; if you trust it, give {plugin.option}",
    )


class _UnusableError(Exception):
    """What is wrong with an item, and a hint."""


def _legal(name: object, folder: Path) -> Path:
    """The path of a file. Raises `_UnusableError`."""
    if not isinstance(name, str) or not name:
        raise _UnusableError(f"expected a file name, got {_show(name)}", EXAMPLE)
    shown = shortened(name, 200)
    try:
        path = (folder / name).resolve()
        exists, other = path.is_file(), path.with_name(f"{path.name}{SUFFIX}").is_file()
    except (OSError, ValueError, RuntimeError) as error:  # contains NUL, or is too long for a file name
        raise _UnusableError(f"{shown}: no such file", "") from error
    if not path.is_relative_to(folder.resolve()):
        hint = f"name it on the command line: {command_line('--plugin', path)}"
        raise _UnusableError(f"{shown}: outside the folder of the spec, from which no code is run", hint)
    if path.suffix != SUFFIX:
        hint = f'did you mean "{shown}{SUFFIX}"?' if other else ""
        raise _UnusableError(f"{shown}: not the name of a Python file, which ends with {SUFFIX}", hint)
    if not exists:
        raise _UnusableError(f"{shown}: no such file in {folder}", "names are relative to the spec file")
    return path


def _show(value: object) -> str:
    """A TOML value for a message."""
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return shortened(text.lower() if isinstance(value, bool) else text)
