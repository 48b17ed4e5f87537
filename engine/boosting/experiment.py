"""A spec made executable: data loaded and encoded, run planned, model opened, singular directions computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import attrs
import numpy as np
from numpy.typing import NDArray

from ..contracts import (
    BoostedModel,
    Completion,
    Examples,
    GenerationRequest,
    GenerativeModel,
    InferenceEngine,
    Metrics,
    ModelSource,
    Outcome,
    Predictions,
    Site,
    Splits,
    Tokens,
    Update,
)
from ..errors import PluginError, blame
from ..foundation.cache import arrays_sha256
from ..foundation.process_group import ProcessGroup, SingleProcess
from ..foundation.rng import Streams
from ..foundation.run_context import RunContext
from ..sdk.judge import metrics_of, with_measures
from ..spec import Spec
from .capacity import SitePlan
from .checks import check_completions, check_labels
from .generation import TrialModel, decoding_of, repeated, request_for, texts_of
from .leakage import warn_of_leakage
from .plan import Plan, make_plan
from .tokens import SPLITS, encode
from .views import DirectionCache, View, Weights


@attrs.frozen(kw_only=True, eq=False)
class Prepared:
    """Data and plan: what `boostlora check` needs. No weight is loaded."""

    spec: Spec
    streams: Streams
    splits: Splits
    """As the task loads them."""
    encoded: Splits
    """As the backend takes them: texts are tokenized."""
    plan: Plan


@attrs.frozen(kw_only=True, eq=False)
class Experiment(Prepared):
    """A prepared run with its model opened."""

    source: ModelSource
    """The base weights."""
    model: BoostedModel
    inference_engine: InferenceEngine
    views: Mapping[str, View]
    hashes: Mapping[str, str]
    """SHA-256 of `data`, `weights` and, for texts, `tokens`."""
    processes: ProcessGroup = attrs.field(factory=SingleProcess)
    """The processes that compute the run together."""

    @property
    def sites(self) -> tuple[Site, ...]:
        """The adapted weights, in the model's order."""
        return tuple(plan.site for plan in self.plan.sites)

    def name_of(self, slot: str) -> str:
        """The name in the spec of a slot's plugin."""
        return self.spec.slots[slot].use

    def evaluate(self, split: str, trial: Mapping[str, Update] | None = None, scale: float = 1.0) -> Outcome:
        """Predict and judge one split, with `scale` times a `trial` update added. Raises `PluginError` for an invalid `Outcome`."""
        return self.judge(split, self.predict(split, trial, scale))

    def predict(
        self, split: str, trial: Mapping[str, Update] | None = None, scale: float = 1.0
    ) -> Predictions:
        """The model's predictions on one split, with generated texts where the task judges them."""
        encoded = getattr(self.encoded, split)
        with blame("backend", self.name_of("backend")):
            predictions = self.model.predict(encoded, trial, scale)
        return attrs.evolve(predictions, texts=self._texts(split, TrialModel(self.model, trial, scale)))

    def _texts(self, split: str, model: GenerativeModel) -> tuple[str, ...] | None:
        """The model's completions of a split's prompts; None where the task judges no texts.

        Uniform draws are the same in every round (common random numbers), so rounds differ by their weights alone.
        """
        decoding = decoding_of(self.spec)
        if decoding is None:
            return None
        rows = repeated(getattr(self.encoded, split), decoding.samples)
        request = request_for(self.spec, decoding, len(rows), self.streams("answers", 0, split))
        return texts_of(self.spec, decoding, rows.inputs, self.write(model, rows, request))

    def write(self, model: GenerativeModel, rows: Examples, request: GenerationRequest) -> list[Completion]:
        """One checked completion per row, from the run's generator."""
        with blame("generator", self.name_of("generator")):
            completions: object = self.inference_engine.write(model, rows, request)
        return check_completions(completions, len(rows), self.name_of("generator"))

    def judge(self, split: str, predictions: Predictions) -> Outcome:
        """The task's judgement of predictions on one split. Raises `PluginError` for an invalid `Outcome`."""
        return self.judge_examples(getattr(self.splits, split), predictions)

    def judge_examples(self, examples: Examples, predictions: Predictions) -> Outcome:
        """The task's judgement of predictions on examples. Raises `PluginError` for an invalid `Outcome`.

        In a distributed run process 0 judges for all: a verdict such as a timeout depends on the machine and its load, and replicas
        that disagree on it would diverge.
        """
        return self.processes.agree(lambda: self._judged(examples, predictions))

    def _judged(self, examples: Examples, predictions: Predictions) -> Outcome:
        with blame("task", self.name_of("task")):
            outcome = cast("object", self.spec.task.judge(examples, predictions))
        if not isinstance(outcome, Outcome) or len(outcome) != len(examples):
            raise PluginError(
                "task", self.name_of("task"), "judge() must return an Outcome with one entry per example"
            )
        return with_measures(outcome, examples, predictions, self.splits.classes)

    def evaluate_all(self) -> dict[str, Outcome]:
        """Outcomes of the current model on every split."""
        return {name: self.evaluate(name) for name in SPLITS}

    def validate(self, update: Mapping[str, Update], scale: float) -> Metrics:
        """Validation metrics of the model with `scale` times an update added."""
        return metrics_of(self.evaluate("validation", update, scale))


@attrs.frozen(eq=False)
class SplitCache:
    """Loaded and encoded splits, shared by the specs of a study with the same task, model and seed. Keeps the latest `limit`."""

    limit: int = 4
    _kept: dict[str, tuple[Splits, Splits]] = attrs.field(factory=dict, init=False)

    def of(self, spec: Spec, streams: Streams) -> tuple[Splits, Splits]:
        """A spec's splits as loaded, and as encoded for the backend."""
        key = repr(
            [(spec.slots[slot].use, attrs.asdict(spec.slots[slot].plugin)) for slot in ("task", "model")]
            + [spec.head.seed]
        )
        if key not in self._kept:
            splits = _load(spec, streams)
            self._kept[key] = splits, encode(spec, splits)
            while len(self._kept) > self.limit:
                del self._kept[next(iter(self._kept))]
        return self._kept[key]


def prepare(spec: Spec, data: SplitCache | None = None) -> Prepared:
    """Load the data and plan the run. Nothing is trained and no weight is loaded.

    The specs of a study share loaded splits through `data`.
    """
    streams = Streams(spec.head.seed)
    splits, encoded = (data or SplitCache()).of(spec, streams)
    for tracker, plugin in spec.trackers.items():
        with blame("tracker", tracker):
            plugin.check()
    plan, _ = make_plan(spec, splits, encoded)
    return Prepared(spec=spec, streams=streams, splits=splits, encoded=encoded, plan=plan)


def _load(spec: Spec, streams: Streams) -> Splits:
    """The task's splits. Raises `PluginError` for an empty split, or inputs that cannot be hashed."""
    name = spec.slots["task"].use
    with blame("task", name):
        splits = cast("object", spec.task.load(streams("split")))
    if not isinstance(splits, Splits):
        raise PluginError("task", name, f"load() returned {type(splits).__name__}, not Splits")
    for split in SPLITS:
        if len(getattr(splits, split)) == 0:
            raise PluginError(
                "task", name, f"the {split} split is empty; load() must return at least one example per split"
            )
        check_labels(getattr(splits, split), split, splits.classes, name)
        arrays_of(getattr(splits, split), name)
    warn_of_leakage(splits, name)
    return splits


def source_of(prepared: Prepared, context: RunContext) -> ModelSource:
    """The base weights: loaded, or pretrained with the run's random stream."""
    spec = prepared.spec
    with blame("model", spec.slots["model"].use):
        return spec.model.source(prepared.splits, context, prepared.streams("pretrain"))


def open_experiment(prepared: Prepared, context: RunContext, *, factorise: bool = True) -> Experiment:
    """Load the base weights, open the model and compute the singular directions that the basis needs.

    `factorise=False` skips the directions, where no round is run.
    """
    context.report("loading", 0, 0)
    spec, source = prepared.spec, source_of(prepared, context)
    backend = spec.slots["backend"].use
    sites = [plan.site for plan in prepared.plan.sites]
    with blame("backend", backend):
        model = spec.backend.open(source, sites, context.report)
        views = views_of(spec, prepared.plan.sites, model, context) if factorise else {}
    with blame("generator", spec.slots["generator"].use):
        inference_engine = spec.generator.open(source, sites)
    hashes = {"data": data_sha256(prepared.splits), "weights": source.sha256}
    if isinstance(prepared.encoded.train.inputs, Tokens):
        # The same texts become other tokens when a tokenizer or a chat template changes.
        hashes["tokens"] = data_sha256(prepared.encoded)
    fields = {field.name: getattr(prepared, field.name) for field in attrs.fields(Prepared)}
    return Experiment(
        **fields,
        source=source,
        model=model,
        inference_engine=inference_engine,
        views=views,
        hashes=hashes,
        processes=context.processes,
    )


def views_of(spec: Spec, plans: Sequence[SitePlan], weights: Weights, context: RunContext) -> dict[str, View]:
    """Every site's view for the basis, with the singular directions that the plan needs."""
    # The cache key includes the backend's options: another dtype gives other directions of the same weight.
    backend = f"{spec.slots['backend'].use} {attrs.asdict(spec.backend)}"
    cache = DirectionCache(weights, backend, context.cache)
    views = dict[str, View]()
    for done, plan in enumerate(plans):
        context.report("factorising", done, len(plans))
        leading = cache.leading(plan.site, plan.depth) if plan.depth else None
        views[plan.site.name] = View(weights, plan.site, leading)
    return views


def data_sha256(splits: Splits) -> str:
    """Hash of every split's ids, labels and inputs."""
    arrays = {
        f"{name}/{field}": array
        for name in SPLITS
        for field, array in arrays_of(getattr(splits, name)).items()
    }
    return arrays_sha256(arrays)


def arrays_of(examples: Examples, task: str = "") -> dict[str, NDArray[Any]]:
    """The content of a split as arrays, for hashing. Raises `PluginError` for inputs that cannot be hashed.

    Inputs are a numeric array, or have an `arrays()` method as `Texts` and `Prompts` do.
    """
    inputs = examples.inputs
    arrays = dict(inputs.arrays()) if callable(getattr(inputs, "arrays", None)) else {"inputs": inputs}
    arrays |= {"ids": examples.ids, "labels": examples.labels}
    if (values := examples.values) is not None:
        arrays |= {"values": values.standardised, "scale": np.array([values.mean, values.std])}
    for array in arrays.values():
        if not isinstance(array, np.ndarray) or array.dtype.hasobject:
            raise PluginError(
                "task",
                task,
                f"inputs of type {type(inputs).__name__} must be a numeric array or have an arrays() method that returns their content; "
                "resuming could not detect changes in data without a hash",
            )
    return arrays
