"""Finds plugins, checks them when they register, and says which ones are broken and why."""

from .kinds import KINDS, SERVICES, Kind
from .registry import BrokenPlugin, Entry, Registry

__all__ = ["KINDS", "SERVICES", "BrokenPlugin", "Entry", "Kind", "Registry"]
