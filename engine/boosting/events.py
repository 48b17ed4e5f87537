"""Calls the event hooks of displays and trackers. A plugin that raises is disabled for the run, and the run continues."""

from __future__ import annotations

import warnings
from typing import Any

import pluggy

from ..errors import place_of


class Events:
    """Calls event hooks plugin by plugin: pluggy would stop at the first exception and not name the plugin."""

    def __init__(self, manager: pluggy.PluginManager) -> None:
        self._manager = manager
        self._disabled = set[str]()

    def emit(self, event: str, **arguments: Any) -> None:
        """Call an event's hook in every plugin that implements it, in order of registration."""
        for implementation in getattr(self._manager.hook, event).get_hookimpls():
            name = implementation.plugin_name
            if name in self._disabled:
                continue
            try:
                implementation.function(*(arguments[argument] for argument in implementation.argnames))
            except (Exception, SystemExit) as error:
                self._disabled.add(name)
                message = f"plugin {name} raised {type(error).__name__} in {event}: {error}{place_of(error)}; it gets no further events of this run"
                warnings.warn(message, RuntimeWarning, stacklevel=2)
