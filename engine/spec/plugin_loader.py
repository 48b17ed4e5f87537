"""The registry for a spec that a person names: with the plugin files of its `plugins` list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ..registry import PluginFileError, Registry
from .document import find_spec, load
from .faults import Fault, SpecError
from .plugin_list import KEY, PluginFile, not_loaded

RECORDS = ("provenance.json", "rounds.jsonl", "study.json")
"""Files that make a folder one of a run or a study."""


def registry_for(
    name: str | Path, files: Sequence[Path], announce: Callable[[str], None] = lambda text: None
) -> Registry:
    """All plugins: those of the files that a spec names, of the spec's parents first, then those of `files`.

    Only for specs that a person names: these files are executed. `announce` is called with a line for each one before. A spec in a
    run's folder, which may be another person's, runs nothing. Raises `SpecError` for a file that fails.
    """
    named = load(find_spec(str(name))).plugins
    recorded = [plugin for plugin in named if _is_record(plugin, files)]
    if recorded:
        raise SpecError([not_loaded(plugin) for plugin in recorded])
    known = {file.resolve() for file in files}
    own = {plugin.path: plugin for plugin in named if plugin.path not in known}
    for plugin in own.values():
        announce(f"{plugin.span.source.name} loads plugins from {plugin.name}")
    try:
        return Registry.load((*own, *files))
    except PluginFileError as error:
        if (plugin := own.get(error.file)) is None:
            raise
        message = f"{KEY}: {plugin.name}: {error.reason}"
        raise SpecError([Fault(message=message, span=plugin.span)]) from error


def once(files: Iterable[Path]) -> tuple[Path, ...]:
    """The files, each once, in their order."""
    return tuple({file.resolve(): file for file in reversed(list(files))}.values())[::-1]


def _is_record(plugin: PluginFile, files: Sequence[Path]) -> bool:
    """Whether a spec in the folder of a run or a study names the file, and the command line does not."""
    recorded = any((plugin.span.source.folder / name).exists() for name in RECORDS)
    return recorded and plugin.path not in {file.resolve() for file in files}
