"""A run's ensemble from its folder: the rounds on disk, and the base that they belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from ..boosting.experiment import Experiment, open_experiment, prepare
from ..boosting.frames import parametrise
from ..boosting.round_plan import plan_round
from ..boosting.stop_rules import best_round
from ..contracts import BoostedModel, MergedRound, ModelSource, Site, StoringBackend, WeightStore
from ..contracts.records import RoundRecord
from ..errors import UsageError, blame
from ..foundation.run_context import RunContext
from ..registry import Registry
from ..runs.directory import SPEC, RunDirectory
from ..spec import Spec
from ..spec.resolve import load_spec


class EnsembleSource(Protocol):
    """Where an ensemble comes from: a run's folder, or a boost file and a base."""

    spec: Spec
    """With the slots that the origin knows: all of them for a run, those that a merge depends on for a file."""
    context: RunContext
    registry: Registry

    @property
    def records(self) -> Sequence[RoundRecord]:
        """Of all rounds that were played, the base first."""
        ...

    @property
    def spec_text(self) -> str:
        """The run's spec as TOML."""
        ...

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What was recorded of the run's origin."""
        ...

    @property
    def best(self) -> int:
        """The round that is best on validation."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; empty where the answer is a text."""
        ...

    @property
    def source(self) -> ModelSource:
        """The base weights."""
        ...

    @property
    def sites(self) -> tuple[Site, ...]:
        """The adapted weights."""
        ...

    @property
    def merged(self) -> Mapping[int, MergedRound]:
        """The rounds that entered the model, by number."""
        ...

    @property
    def store(self) -> WeightStore:
        """The base weights, to be merged without a model."""
        ...

    def open(self) -> BoostedModel:
        """The base as a model that rounds can be assembled into."""
        ...

    @property
    def experiment(self) -> Experiment:
        """The run with its data and this model, no round played. Raises `UsageError` where the data are not to be had."""
        ...


class RunSource:
    """A run's folder. Everything is read, and the model opened, when it is first asked for."""

    def __init__(self, path: Path, registry: Registry, context: RunContext) -> None:
        self.directory = RunDirectory.open(path)
        self.directory.check_spec()
        self.directory.check_files()
        self.registry, self.context = registry, context
        self.spec = load_spec(path / SPEC, registry)

    @property
    def records(self) -> Sequence[RoundRecord]:
        """Of all rounds."""
        return self.directory.records

    @property
    def spec_text(self) -> str:
        """The spec as it is on disk."""
        return (self.directory.path / SPEC).read_text(encoding="utf-8")

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What is on disk; nothing where the file is missing."""
        return self.directory.provenance() or {}

    @property
    def best(self) -> int:
        """The round that is best on validation, by the metric of `[stop]`."""
        return best_round(self.records, self.spec) if self.records else 0

    @property
    def classes(self) -> tuple[str, ...]:
        """The task's."""
        return self.experiment.splits.classes

    @property
    def source(self) -> ModelSource:
        """The base weights, those that the run began with."""
        return self.experiment.source

    @property
    def sites(self) -> tuple[Site, ...]:
        """The adapted weights."""
        return self.experiment.sites

    @property
    def merged(self) -> Mapping[int, MergedRound]:
        """What is on disk, with the numbers that were trained."""
        return self._merged

    @cached_property
    def _merged(self) -> Mapping[int, MergedRound]:
        return {r.round: self._read(r) for r in self.records if r.scale != 0.0}

    def _read(self, record: RoundRecord) -> MergedRound:
        experiment, number = self.experiment, record.round
        own = number > inherited(self.directory) and not record.refit
        updates = self.directory.updates(number)
        asked = parametrise(experiment, plan_round(experiment.spec, number)) if own else {}
        return MergedRound(
            number=number,
            updates=updates,
            scale=record.scale,
            values=self.directory.values(number),
            parametrisations={site: p for site, p in asked.items() if site in updates},
        )

    @property
    def store(self) -> WeightStore:
        """The base weights alone."""
        return self._store

    @cached_property
    def _store(self) -> WeightStore:
        return store_of(self.spec, self.source, self.sites, self.context)

    def open(self) -> BoostedModel:
        """The model; the same one whenever it is asked for."""
        return self.experiment.model

    @property
    def experiment(self) -> Experiment:
        """Data, plan and model, held to what the run began with."""
        return self._experiment

    @cached_property
    def _experiment(self) -> Experiment:
        opened = open_experiment(prepare(self.spec), self.context, factorise=False)
        recorded = (self.directory.provenance() or {}).get("hashes", {})
        changed = [
            name for name in opened.hashes if recorded.get(name, opened.hashes[name]) != opened.hashes[name]
        ]
        if changed:
            raise UsageError(
                f"{self.directory.path}: the {' and the '.join(changed)} that it names are no longer those it began with; put "
                "them back"
            )
        return opened


def inherited(directory: RunDirectory) -> int:
    """Rounds that a run did not play itself, but took over from the one that it goes on from."""
    start: dict[str, Any] = (directory.provenance() or {}).get("start") or {}
    return int(start.get("round", 0))


def store_of(spec: Spec, source: ModelSource, sites: Sequence[Site], context: RunContext) -> WeightStore:
    """The backend's store of weights. Raises `UsageError` for a backend that has none."""
    backend, name = spec.backend, spec.slots["backend"].use
    if not isinstance(backend, StoringBackend):
        raise UsageError(f"backend {name} cannot merge weights without a model (it has no store())")
    with blame("backend", name):
        return backend.store(source, sites, context.report)
