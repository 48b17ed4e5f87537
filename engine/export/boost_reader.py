"""Read boost files: verify the base by hash, and rebuild every round on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import attrs
import cattrs
from numpy.typing import NDArray

from ..boosting.experiment import Experiment
from ..contracts import (
    BoostedModel,
    DenseUpdate,
    Exportable,
    FactoredUpdate,
    Frame,
    MergedRound,
    ModelSource,
    Site,
    Update,
    WeightStore,
)
from ..contracts.records import RoundRecord
from ..ensemble.ensemble import Ensemble
from ..ensemble.recipe import Recipe, StoredRound, from_stored
from ..ensemble.sketches import distance, sketches
from ..ensemble.source import store_of
from ..errors import MismatchError, RunError, UsageError, blame
from ..foundation.run_context import RunContext
from ..registry import Registry
from ..sdk.sites import choose_sites
from ..spec import Spec
from ..spec.partial_spec import partial_spec
from . import boost_parser
from .boost_base import base_source, check_base, model_at
from .boost_file import BoostFile, RoundFacts

TOLERANCE = 1e-3
"""Largest relative distance of rebuilt updates from the recorded ones."""
REQUIRED_SLOTS = ("model", "adapter", "basis", "backend")


@attrs.frozen(kw_only=True)
class Rebuilt:
    """The distance of rebuilt updates from the run's."""

    departure: float
    """Estimated from sketches: `||dW' - dW||_F / ||dW||_F` over all sites."""
    allowed: float

    @property
    def passed(self) -> bool:
        """Whether they match the run's up to rounding."""
        return self.departure <= self.allowed


def load(
    file: str | Path,
    base: str | Path,
    *,
    plugins: Sequence[str | Path] = (),
    context: RunContext | None = None,
) -> Ensemble:
    """The ensemble of a boost file on its base: a folder, a file, or a Hugging Face id. Raises `UsageError` for another base."""
    registry = Registry.load(tuple(Path(plugin) for plugin in plugins))
    return Ensemble(BoostFileSource.of(Path(file), str(base), registry, context or RunContext()))


class BoostFileSource:
    """A boost file and its base. The base is verified at once; rounds are rebuilt on first use."""

    def __init__(
        self,
        file: BoostFile,
        path: Path,
        *,
        spec: Spec,
        source: ModelSource,
        registry: Registry,
        context: RunContext,
        tolerance: float = TOLERANCE,
    ) -> None:
        self.file, self.path, self.spec = file, path, spec
        self.registry, self.context = registry, context
        self._source, self._tolerance = source, tolerance

    @classmethod
    def of(
        cls,
        path: Path,
        base: str,
        registry: Registry,
        context: RunContext,
        *,
        backend: Mapping[str, Any] | None = None,
        tolerance: float = TOLERANCE,
    ) -> BoostFileSource:
        """Open the file with its base at a path, or on the hub. Raises `UsageError` if the weights are not those of the file's base."""
        file = boost_parser.read(path)
        changes: dict[str, Mapping[str, Any]] = {"backend": backend} if backend else {}
        needed = REQUIRED_SLOTS if any(not r.factors for r in file.rounds) else ("model", "backend")
        changes |= model_at(file, path, base)
        spec = partial_spec(file.spec, registry, needed, changes, str(path))
        with blame("backend", spec.slots["backend"].use):
            spec.backend.check()
        source = base_source(file, spec, base, context)
        check_base(file, path, base, source, context.cache)
        origin = cls(
            file,
            path,
            spec=spec,
            source=source,
            registry=registry,
            context=context,
            tolerance=tolerance,
        )
        origin.check_sites()
        return origin

    def check_sites(self) -> None:
        """Check that sketches and updates belong to the sites of the spec. Raises `RunError`."""
        names = {site.name for site in self.sites}
        if len(self.file.arrays["sketch"]) != len(names):
            raise RunError(
                f"{self.path}: damaged: its sketches do not match the {len(names)} sites of its spec"
            )
        for facts in self.file.rounds:
            if more := _updates(self.file.arrays, facts.number).keys() - names:
                raise RunError(
                    f"{self.path}: damaged: round {facts.number} has an update of {min(more)}, which is not a site of its spec"
                )

    @property
    def records(self) -> Sequence[RoundRecord]:
        """Records of all rounds up to the last one in the file."""
        return self._records

    @cached_property
    def _records(self) -> list[RoundRecord]:
        try:
            return [cattrs.structure(dict(r), RoundRecord) for r in self.file.records]
        except (cattrs.BaseValidationError, TypeError, ValueError) as error:
            raise RunError(f"{self.path}: damaged: invalid round records") from error

    @property
    def spec_text(self) -> str:
        """As in the file."""
        return self.file.spec

    @property
    def provenance(self) -> Mapping[str, Any]:
        """As in the file."""
        return self.file.provenance

    @property
    def best(self) -> int:
        """The best round up to the last one in the file."""
        return self.file.best

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of the task."""
        return self.file.classes

    @property
    def source(self) -> ModelSource:
        """The base at its local path."""
        return self._source

    @property
    def sites(self) -> tuple[Site, ...]:
        """The adapted weights."""
        return choose_sites(self.spec.sites, self.source.blueprint)

    @property
    def store(self) -> WeightStore:
        """The base weights alone."""
        return self._store

    @cached_property
    def _store(self) -> WeightStore:
        return store_of(self.spec, self.source, self.sites, self.context)

    @property
    def can_open(self) -> bool:
        """Whether the model can be built from its weights; not if a plugin supplied its module."""
        return self.source.build is not None or self.source.blueprint.architecture != "torch-module"

    def open(self) -> BoostedModel:
        """The base as a model. Raises `UsageError` if its module cannot be built."""
        if not self.can_open:
            raise UsageError(
                f"{self.path}: the module is custom and not in the file; only its weights can be written"
            )
        with blame("backend", self.spec.slots["backend"].use):
            return self.spec.backend.open(self.source, self.sites, self.context.report)

    @property
    def experiment(self) -> Experiment:
        """Not available: the file holds no data."""
        raise UsageError(f"{self.path}: a boost file holds no data; evaluate the run that it came from")

    @property
    def merged(self) -> Mapping[int, MergedRound]:
        """The rebuilt rounds. Raises `MismatchError` if they are too far from the run's."""
        return self._rebuilt[0]

    @property
    def rebuilt(self) -> Rebuilt:
        """Their distance from the run's."""
        return self._rebuilt[1]

    @cached_property
    def _rebuilt(self) -> tuple[Mapping[int, MergedRound], Rebuilt]:
        kept, found = [self._kept(facts) for facts in self.file.rounds], dict[int, MergedRound]()
        if all(r.updates is not None for r in kept):
            found |= {r.number: from_stored(r) for r in kept}
        else:
            recipe = Recipe.of(self.spec, self.source.blueprint, self.store, self.context)
            for made in recipe.rebuild(kept):
                found[made.number] = made
                self.context.report("rebuilding", len(found), len(kept))
        rebuilt = self._compare(found)
        if not rebuilt.passed:
            raise MismatchError(
                f"{self.path}: its rounds cannot be reproduced here: they differ by {rebuilt.departure:.2g} of their norm, and "
                f"{rebuilt.allowed:.2g} is allowed. Singular directions of nearly equal singular values differ between "
                "libraries; a file made with --with-factors does not depend on them"
            )
        return found, rebuilt

    def _kept(self, facts: RoundFacts) -> StoredRound:
        updates = _updates(self.file.arrays, facts.number) if facts.factors else None
        values = self.file.values(facts)
        return StoredRound(number=facts.number, scale=facts.scale, values=values, updates=updates)

    def _compare(self, merged: Mapping[int, MergedRound]) -> Rebuilt:
        """Compare all rebuilt rounds with the file's sketches."""
        ensemble = Exportable(
            name=self.file.name,
            model=self.spec.model,
            source=self.source,
            sites=self.sites,
            rounds=tuple(merged.values()),
            store=self.store,
        )
        difference, norm = distance(sketches(ensemble), self.file.arrays["sketch"]), self.file.merged.norm
        return Rebuilt(departure=difference / norm if norm else difference, allowed=self._tolerance)


def _updates(arrays: Mapping[str, NDArray[Any]], number: int) -> dict[str, Update]:
    """A round's updates, from its factors in the file."""
    parts = dict[str, dict[str, NDArray[Any]]]()
    prefix = f"factors/{number:04d}/"
    for name, array in arrays.items():
        if name.startswith(prefix):
            site, _, part = name.removeprefix(prefix).rpartition("/")
            parts.setdefault(site, {})[part] = array
    return {site: _update(found) for site, found in parts.items()}


def _update(parts: Mapping[str, NDArray[Any]]) -> Update:
    if "delta" in parts:
        return DenseUpdate(delta=parts["delta"])
    a, b, orthonormal = parts["form"].tolist()
    frame = Frame(U=parts["U"], S=parts["S"], V=parts["V"])
    return FactoredUpdate(frame=frame, core=parts["core"], exponents=(a, b), orthonormal=bool(orthonormal))
