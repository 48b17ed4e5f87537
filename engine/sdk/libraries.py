"""Optional libraries of plugins."""

from __future__ import annotations

import importlib.util

from ..errors import UsageError


def require_libraries(plugin: str, extra: str, *libraries: str) -> None:
    """Raise `UsageError`, with the extra to install, if a library that `plugin` imports is missing. None is imported here."""
    missing = [name for name in libraries if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"{plugin} needs pip install 'boostlora[{extra}]' ({', '.join(missing)} is missing)")
