"""Discovery of plugins, and checks when they register."""

from .kinds import KINDS, SERVICES, Kind
from .registry import BrokenPlugin, Entry, PluginFileError, Registry

__all__ = ["KINDS", "SERVICES", "BrokenPlugin", "Entry", "Kind", "PluginFileError", "Registry"]
