"""Exporters: an ensemble as files that other libraries load."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import attrs
from numpy.typing import NDArray

from ..foundation.run_context import Report, RunContext, no_report
from .cores import Parametrisation
from .examples import Splits
from .sites import ModelSource, Site
from .stores import SiteUpdates, WeightStore
from .updates import Update


@attrs.frozen(kw_only=True, eq=False)
class MergedRound:
    """A merged round: its updates by site, and their scale."""

    number: int
    updates: Mapping[str, Update]
    scale: float
    values: Mapping[str, NDArray[Any]] = attrs.field(factory=dict)
    """Trained values, by tied group, or by site and factor; empty for dense updates, where the update itself was trained."""
    parametrisations: Mapping[str, Parametrisation] = attrs.field(factory=dict)
    """The parametrisations of these values, by site."""


@attrs.frozen(kw_only=True, eq=False)
class Exportable:
    """An ensemble as exporters get it: base, sites, merged rounds, and a store that computes merged weights."""

    name: str
    """The run's name, safe as a file name."""
    model: Any
    """The model plugin, with the base's origin and tokenizer."""
    source: ModelSource
    sites: tuple[Site, ...]
    rounds: tuple[MergedRound, ...]
    store: WeightStore
    splits: Callable[[], Splits] | None = None
    """Loads the task's data: the classes, and how rows of a table became inputs. Raises `UsageError` if they are not available."""
    context: RunContext = attrs.field(factory=RunContext)

    @property
    def report(self) -> Report:
        """Progress callback for long work."""
        return self.context.report or no_report

    def updates(self, site: str) -> SiteUpdates:
        """One site's updates with their scales, in the order of the rounds."""
        return [(r.updates[site], r.scale) for r in self.rounds if site in r.updates]

    def merged(self, site: str) -> NDArray[Any]:
        """The site's weight with all rounds merged `(d_out, d_in)`, float32 or float64. Cast it once, on writing: two roundings may differ from one."""
        return self.store.merged(site, self.updates(site))


@runtime_checkable
class Exporter(Protocol):
    """Writes an ensemble in a library's format, and reads it back with that library."""

    def check(self, ensemble: Exportable) -> None:
        """Raises `UsageError` if a library is missing, or the format cannot represent this ensemble. Called before any work."""
        ...

    def precision(self, ensemble: Exportable) -> str:
        """The lowest-precision dtype in which the export stores the update: `float64`, `float32`, `float16` or `bfloat16`.

        It sets the tolerance of the check.
        """
        ...

    def write(self, ensemble: Exportable, folder: Path) -> None:
        """Write the export into an empty folder. It is renamed to its final name only after its logits match."""
        ...

    def reload(self, ensemble: Exportable, folder: Path) -> ModelSource:
        """A model source from which a backend computes the exported model in `folder`: the base's, with other `build` or `files`.

        `build(blueprint, dtype)` loads the torch module with the library that the format is meant for; with it, the reference backend is
        replaced by torch. `files` are safetensors: other formats are converted into a temporary folder, which is kept until the process
        ends, never into `folder`. `sha256` is not checked.
        """
        ...

    def usage(self, ensemble: Exportable, place: str) -> str:
        """Python code that loads the export from `place` without this package."""
        ...
