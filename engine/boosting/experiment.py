"""A spec brought to life: data split, plan made, model opened, sites ready to be asked for frames."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ..contracts import BoostedModel, Examples, Metrics, Outcome, Site, Splits, Update
from ..errors import PluginError, blame
from ..judging import metrics_of
from ..record.cache import arrays_sha256
from ..spec import Spec
from ..streams import Streams
from ..workplace import Workplace
from .plan import Plan, make_plan
from .views import DirectionCache, View

SPLITS = ("train", "validation", "test")


@attrs.frozen(kw_only=True, eq=False)
class Prepared:
    """Data and plan: all that `check` needs, and nothing that costs."""

    spec: Spec
    streams: Streams
    splits: Splits
    plan: Plan


@attrs.frozen(kw_only=True, eq=False)
class Experiment(Prepared):
    """A prepared run with its model opened."""

    model: BoostedModel
    views: Mapping[str, View]
    hashes: Mapping[str, str]
    """SHA-256 of data and weights."""

    @property
    def sites(self) -> tuple[Site, ...]:
        """The adapted weights, in the model's order."""
        return tuple(plan.site for plan in self.plan.sites)

    def name_of(self, slot: str) -> str:
        """The plugin in a slot, by its name in the spec."""
        return self.spec.slots[slot].use

    def evaluate(
        self, examples: Examples, trial: Mapping[str, Update] | None = None, scale: float = 1.0
    ) -> Outcome:
        """Predict and judge one split. Raises `PluginError` if the task's judgement does not fit it."""
        with blame("backend", self.name_of("backend")):
            predictions = self.model.predict(examples, trial, scale)
        with blame("task", self.name_of("task")):
            outcome = self.spec["task"].judge(examples, predictions)
        if not isinstance(outcome, Outcome) or len(outcome) != len(examples):
            raise PluginError("task", self.name_of("task"), "judge() must return an Outcome of every example")
        return outcome

    def evaluate_all(self) -> dict[str, Outcome]:
        """Outcomes of the current model on every split."""
        return {name: self.evaluate(getattr(self.splits, name)) for name in SPLITS}

    def validate(self, update: Mapping[str, Update], scale: float) -> Metrics:
        """Validation metrics with `scale` times an update added."""
        return metrics_of(self.evaluate(self.splits.validation, update, scale))


def prepare(spec: Spec) -> Prepared:
    """Load the data and plan the run; nothing is trained and no weight is loaded."""
    streams = Streams(spec.head.seed)
    name = spec.slots["task"].use
    with blame("task", name):
        splits = spec["task"].load(streams("split"))
    if not isinstance(splits, Splits):
        raise PluginError("task", name, f"load() returned {type(splits).__name__}, not Splits")
    for split in SPLITS:
        if len(getattr(splits, split)) == 0:
            raise PluginError("task", name, f"the {split} split is empty")
    plan, _ = make_plan(spec, splits)
    return Prepared(spec=spec, streams=streams, splits=splits, plan=plan)


def open_experiment(prepared: Prepared, workplace: Workplace) -> Experiment:
    """Get the base weights, open the model, and factorise what the basis will ask for."""
    spec, splits = prepared.spec, prepared.splits
    with blame("model", spec.slots["model"].use):
        source = spec["model"].source(splits, workplace, prepared.streams("pretrain"))
    backend = spec.slots["backend"].use
    sites = [plan.site for plan in prepared.plan.sites]
    with blame("backend", backend):
        model = spec["backend"].open(source, sites)
        cache = DirectionCache(model, backend, workplace.cache)
        views = dict[str, View]()
        for done, plan in enumerate(prepared.plan.sites):
            workplace.report("factorising", done, len(sites))
            leading = cache.leading(plan.site, plan.depth) if plan.depth else None
            views[plan.site.name] = View(model, plan.site, leading)
    hashes = {"data": data_sha256(splits), "weights": source.sha256}
    fields = {field.name: getattr(prepared, field.name) for field in attrs.fields(Prepared)}
    return Experiment(**fields, model=model, views=views, hashes=hashes)


def data_sha256(splits: Splits) -> str:
    """Hash of every split's ids, labels and (where they are arrays) inputs."""
    arrays = {
        f"{name}/{field}": getattr(getattr(splits, name), field)
        for name in SPLITS
        for field in ("ids", "labels")
    }
    inputs = {f"{name}/inputs": getattr(splits, name).inputs for name in SPLITS}
    return arrays_sha256(
        arrays | {name: value for name, value in inputs.items() if hasattr(value, "tobytes")}
    )
