"""Families of models whose ensembles are asked the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from boostlora.engine.ensemble.ensemble import Ensemble


@attrs.frozen
class Family:
    """A run and how it is opened, with inputs that its model takes."""

    name: str
    open: Callable[[], Ensemble]
    base: Path
    inputs: Any
    plugins: tuple[Path, ...] = ()
