"""Reads boost files: the base is held to its hash, and every round is made again on it."""

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
from ..ensemble.recipe import KeptRound, Recipe, as_kept
from ..ensemble.sketches import distance, sketches
from ..ensemble.source import store_of
from ..errors import DepartedError, RunError, UsageError, blame
from ..foundation.run_context import RunContext
from ..registry import Registry
from ..sdk.sites import choose_sites
from ..spec import Spec
from ..spec.partial import partial_spec
from . import boost_parser
from .boost_base import base_source, check_base, model_at
from .boost_file import BoostFile, RoundFacts

TOLERANCE = 1e-3
"""Largest distance of rebuilt updates from the recorded ones, as a share of their norm, where the bits are not the same."""
NEEDED = ("model", "adapter", "basis", "backend")


@attrs.frozen(kw_only=True)
class Rebuilt:
    """How near rebuilt updates are to those of the run."""

    departure: float
    """Estimated from sketches: `||dW' - dW||_F / ||dW||_F` over all sites."""
    allowed: float

    @property
    def passed(self) -> bool:
        """Whether they are the run's, up to rounding."""
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
    """A boost file and its base. The base is checked at once; rounds are made again when they are first asked for."""

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
        """The file on the base at a path, or on the hub. Raises `UsageError` where its weights are not those of the file's base."""
        file = boost_parser.read(path)
        changes: dict[str, Mapping[str, Any]] = {"backend": backend} if backend else {}
        needed = NEEDED if any(not r.factors for r in file.rounds) else ("model", "backend")
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
        """What the file has of every site is there for the sites of its spec, and for no others. Raises `RunError`."""
        names = {site.name for site in self.sites}
        if len(self.file.arrays["sketch"]) != len(names):
            raise RunError(
                f"{self.path}: damaged: its sketches are not those of the {len(names)} sites of its spec"
            )
        for facts in self.file.rounds:
            if more := _updates(self.file.arrays, facts.number).keys() - names:
                raise RunError(
                    f"{self.path}: damaged: round {facts.number} has an update of {min(more)}, which is no site of its spec"
                )

    @property
    def records(self) -> Sequence[RoundRecord]:
        """Of all rounds up to the last one in the file."""
        return self._records

    @cached_property
    def _records(self) -> list[RoundRecord]:
        try:
            return [cattrs.structure(dict(r), RoundRecord) for r in self.file.records]
        except (cattrs.BaseValidationError, TypeError, ValueError) as error:
            raise RunError(f"{self.path}: damaged: not the records of rounds") from error

    @property
    def spec_text(self) -> str:
        """As the file has it."""
        return self.file.spec

    @property
    def provenance(self) -> Mapping[str, Any]:
        """As the file has it."""
        return self.file.provenance

    @property
    def best(self) -> int:
        """The best round up to the last one in the file."""
        return self.file.best

    @property
    def classes(self) -> tuple[str, ...]:
        """The task's."""
        return self.file.classes

    @property
    def source(self) -> ModelSource:
        """The base at its place here."""
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
        """Whether the model can be made of its weights: not where its module is a plugin's own."""
        return self.source.build is not None or self.source.blueprint.architecture != "torch-module"

    def open(self) -> BoostedModel:
        """The base as a model. Raises `UsageError` where nobody knows how its module is made."""
        if not self.can_open:
            raise UsageError(
                f"{self.path}: the module is the author's own, and not in the file; only its weights can be written"
            )
        with blame("backend", self.spec.slots["backend"].use):
            return self.spec.backend.open(self.source, self.sites, self.context.report)

    @property
    def experiment(self) -> Experiment:
        """There is none: data are not in the file."""
        raise UsageError(f"{self.path}: a boost file holds no data; evaluate the run that it came from")

    @property
    def merged(self) -> Mapping[int, MergedRound]:
        """The rounds, made again. Raises `DepartedError` where they are too far from the run's."""
        return self._rebuilt[0]

    @property
    def rebuilt(self) -> Rebuilt:
        """How near they are to the run's."""
        return self._rebuilt[1]

    @cached_property
    def _rebuilt(self) -> tuple[Mapping[int, MergedRound], Rebuilt]:
        kept, found = [self._kept(facts) for facts in self.file.rounds], dict[int, MergedRound]()
        if all(r.updates is not None for r in kept):
            found |= {r.number: as_kept(r) for r in kept}
        else:
            recipe = Recipe.of(self.spec, self.source.blueprint, self.store, self.context)
            for made in recipe.rebuild(kept):
                found[made.number] = made
                self.context.report("rebuilding", len(found), len(kept))
        near = self._compare(found)
        if not near.passed:
            raise DepartedError(
                f"{self.path}: its rounds come out otherwise here: they depart by {near.departure:.2g} of their norm, and "
                f"{near.allowed:.2g} is allowed. Singular directions that are nearly equal in strength differ between "
                "libraries; a file that was made with --with-factors does not depend on them"
            )
        return found, near

    def _kept(self, facts: RoundFacts) -> KeptRound:
        updates = _updates(self.file.arrays, facts.number) if facts.factors else None
        values = self.file.values(facts)
        return KeptRound(number=facts.number, scale=facts.scale, values=values, updates=updates)

    def _compare(self, merged: Mapping[int, MergedRound]) -> Rebuilt:
        """Hold all rebuilt rounds, chosen or not, against the file's sketches."""
        ensemble = Exportable(
            name=self.file.name,
            model=self.spec.model,
            source=self.source,
            sites=self.sites,
            rounds=tuple(merged.values()),
            store=self.store,
        )
        apart, norm = distance(sketches(ensemble), self.file.arrays["sketch"]), self.file.merged.norm
        return Rebuilt(departure=apart / norm if norm else apart, allowed=self._tolerance)


def _updates(arrays: Mapping[str, NDArray[Any]], number: int) -> dict[str, Update]:
    """A round's updates, where its factors are in the file."""
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
