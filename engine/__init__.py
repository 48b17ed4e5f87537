"""The engine and its Python interface.

```python
from boostlora.engine import Ensemble, load_spec, run

ensemble = run(load_spec("quickstart", {"rounds": 8}))  # runs the missing rounds, and opens the ensemble
ensemble.evaluate("test", rounds=4)
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import load_spec, run, runs_table
    from .ensemble.ensemble import Ensemble

__all__ = ["Ensemble", "load_spec", "run", "runs_table"]

_PLACES = {"Ensemble": ".ensemble.ensemble", "load_spec": ".api", "run": ".api", "runs_table": ".api"}


def __getattr__(name: str) -> Any:
    """Import the interface on first use, so that the command line starts without it."""
    from importlib import import_module  # noqa: PLC0415

    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name], __name__), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
