"""What turns an ensemble into files that other libraries read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import attrs
from numpy.typing import NDArray

from ..foundation.run_context import Report, RunContext, no_report
from .cores import Parametrisation
from .sites import ModelSource, Site
from .stores import SiteUpdates, WeightStore
from .updates import Update


@attrs.frozen(kw_only=True, eq=False)
class MergedRound:
    """A round that is part of the model: what it added to every site, and with which scale."""

    number: int
    updates: Mapping[str, Update]
    scale: float
    values: Mapping[str, NDArray[Any]] = attrs.field(factory=dict)
    """The numbers that it trained, by group of tied sites, or by site and factor; those of a dense update are the update."""
    parametrisations: Mapping[str, Parametrisation] = attrs.field(factory=dict)
    """What they parametrise, by site."""


@attrs.frozen(kw_only=True, eq=False)
class Exportable:
    """An ensemble as exporters see it: a base, rounds, and how one becomes the other."""

    name: str
    """Of the run, fit for a file's name."""
    model: Any
    """The model plugin: it knows where the base came from, and has its tokenizer."""
    source: ModelSource
    sites: tuple[Site, ...]
    rounds: tuple[MergedRound, ...]
    store: WeightStore
    context: RunContext = attrs.field(factory=RunContext)

    @property
    def report(self) -> Report:
        """Whom to tell of work that takes long."""
        return self.context.report or no_report

    def updates(self, site: str) -> SiteUpdates:
        """One site's updates with their scales, in the order of the rounds."""
        return [(r.updates[site], r.scale) for r in self.rounds if site in r.updates]

    def merged(self, site: str) -> NDArray[Any]:
        """The site's weight with all rounds merged `(d_out, d_in)`, float32 or float64: to be cast once, where it is written."""
        return self.store.merged(site, self.updates(site))


@runtime_checkable
class Exporter(Protocol):
    """Writes an ensemble in a form of some library's, and reads it back as that library does."""

    def check(self, ensemble: Exportable) -> None:
        """Raise `UsageError` where a library is missing, or the form cannot hold this ensemble; called before any work."""
        ...

    def precision(self, ensemble: Exportable) -> str:
        """The coarsest dtype in which the export keeps what was trained, such as `bfloat16`: how close it can be."""
        ...

    def write(self, ensemble: Exportable, folder: Path) -> None:
        """Fill an empty folder. It gets its name only when it is whole and has been compared."""
        ...

    def reload(self, ensemble: Exportable, folder: Path) -> ModelSource:
        """The base's source with `build`, or `files`, such that a backend which opens it computes what is in `folder`.

        `build(blueprint, dtype)` loads it with the library that the form is meant for.
        """
        ...

    def usage(self, ensemble: Exportable, place: str) -> str:
        """Lines of Python that load the export from `place`, without this package."""
        ...
