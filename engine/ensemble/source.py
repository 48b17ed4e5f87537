"""Sources of an ensemble: a protocol, and a run's folder with its rounds and base."""

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
    """The source of an ensemble: a run's folder, or a boost file with a base."""

    spec: Spec
    """All slots for a run; for a boost file only those that merges depend on."""
    context: RunContext
    registry: Registry

    @property
    def records(self) -> Sequence[RoundRecord]:
        """Records of all rounds, the base first."""
        ...

    @property
    def spec_text(self) -> str:
        """The run's spec as TOML."""
        ...

    @property
    def provenance(self) -> Mapping[str, Any]:
        """The run's recorded provenance."""
        ...

    @property
    def best(self) -> int:
        """The round that is best on validation."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; empty for generative tasks."""
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
        """The merged rounds by number."""
        ...

    @property
    def store(self) -> WeightStore:
        """The base weights, for merging without a model."""
        ...

    def open(self) -> BoostedModel:
        """The base as a model, for assembling rounds."""
        ...

    @property
    def experiment(self) -> Experiment:
        """The experiment with data and model before the first round. Raises `UsageError` if the data are not available."""
        ...


class RunSource:
    """A run's folder. Files are read and the model is loaded on first use."""

    def __init__(self, path: Path, registry: Registry, context: RunContext) -> None:
        self.directory = RunDirectory.open(path)
        self.directory.check_spec()
        self.directory.check_files()
        self.registry, self.context = registry, context
        self.spec = load_spec(path / SPEC, registry)

    @property
    def records(self) -> Sequence[RoundRecord]:
        """Records of all rounds."""
        return self.directory.records

    @property
    def spec_text(self) -> str:
        """The spec on disk."""
        return (self.directory.path / SPEC).read_text(encoding="utf-8")

    @property
    def provenance(self) -> Mapping[str, Any]:
        """The provenance on disk; empty if the file is missing."""
        return self.directory.provenance() or {}

    @property
    def best(self) -> int:
        """The round that is best on validation, by the metric of `[stop]`."""
        return best_round(self.records, self.spec) if self.records else 0

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of the task."""
        return self.experiment.splits.classes

    @property
    def source(self) -> ModelSource:
        """The run's initial base weights."""
        return self.experiment.source

    @property
    def sites(self) -> tuple[Site, ...]:
        """The adapted weights."""
        return self.experiment.sites

    @property
    def merged(self) -> Mapping[int, MergedRound]:
        """The merged rounds on disk, with trained values."""
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
        """The base weights."""
        return self._store

    @cached_property
    def _store(self) -> WeightStore:
        return store_of(self.spec, self.source, self.sites, self.context)

    def open(self) -> BoostedModel:
        """The model, always the same object."""
        return self.experiment.model

    @property
    def experiment(self) -> Experiment:
        """Data, plan and model, verified against the run's hashes."""
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
                f"{self.directory.path}: the {' and the '.join(changed)} have changed since the run started; restore "
                "them"
            )
        return opened


def inherited(directory: RunDirectory) -> int:
    """Rounds that a run inherited from the run that it continues."""
    start: dict[str, Any] = (directory.provenance() or {}).get("start") or {}
    return int(start.get("round", 0))


def store_of(spec: Spec, source: ModelSource, sites: Sequence[Site], context: RunContext) -> WeightStore:
    """The backend's weight store. Raises `UsageError` for a backend without one."""
    backend, name = spec.backend, spec.slots["backend"].use
    if not isinstance(backend, StoringBackend):
        raise UsageError(f"backend {name} cannot merge weights without a model (it has no store())")
    with blame("backend", name):
        return backend.store(source, sites, context.report)
