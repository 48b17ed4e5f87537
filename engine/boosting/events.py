"""Tells displays and trackers what happens, and keeps their failures to themselves."""

from __future__ import annotations

import warnings
from typing import Any

import pluggy


class Events:
    """Calls event hooks plugin by plugin, so that one that raises is named and the others still hear."""

    def __init__(self, manager: pluggy.PluginManager) -> None:
        self._manager = manager
        self._silenced = set[str]()

    def tell(self, event: str, **arguments: Any) -> None:
        """Call one event hook of every plugin that has it, in the order of registration."""
        for implementation in getattr(self._manager.hook, event).get_hookimpls():
            name = implementation.plugin_name
            if name in self._silenced:
                continue
            try:
                implementation.function(*(arguments[argument] for argument in implementation.argnames))
            except (Exception, SystemExit) as error:
                self._silenced.add(name)
                message = f"plugin {name} raised {type(error).__name__} in {event}: {error}; it is told nothing more"
                warnings.warn(message, RuntimeWarning, stacklevel=2)
