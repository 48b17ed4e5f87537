"""A spec brought to life: data split, plan made, model opened, sites ready to be asked for frames."""

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
from ..sdk.judge import metrics_of
from ..spec import Spec
from .capacity import SitePlan
from .checks import check_completions
from .generation import TrialModel, decoding_of, repeated, request_for, texts_of
from .leakage import warn_of_leakage
from .plan import Plan, make_plan
from .tokens import SPLITS, encode
from .views import DirectionCache, View, Weights


@attrs.frozen(kw_only=True, eq=False)
class Prepared:
    """Data and plan: all that `check` needs, and nothing that costs."""

    spec: Spec
    streams: Streams
    splits: Splits
    """As the task brings them."""
    encoded: Splits
    """As the backend takes them: the same, but for texts, which are tokens here."""
    plan: Plan


@attrs.frozen(kw_only=True, eq=False)
class Experiment(Prepared):
    """A prepared run with its model opened."""

    source: ModelSource
    """The base weights."""
    model: BoostedModel
    writer: InferenceEngine
    views: Mapping[str, View]
    hashes: Mapping[str, str]
    """SHA-256 of data and weights."""
    processes: ProcessGroup = attrs.field(factory=SingleProcess)
    """The processes that compute the run together."""

    @property
    def sites(self) -> tuple[Site, ...]:
        """The adapted weights, in the model's order."""
        return tuple(plan.site for plan in self.plan.sites)

    def name_of(self, slot: str) -> str:
        """The plugin in a slot, by its name in the spec."""
        return self.spec.slots[slot].use

    def evaluate(self, split: str, trial: Mapping[str, Update] | None = None, scale: float = 1.0) -> Outcome:
        """Predict and judge one split. Raises `PluginError` if the task's judgement does not fit it."""
        return self.judge(split, self.predict(split, trial, scale))

    def predict(
        self, split: str, trial: Mapping[str, Update] | None = None, scale: float = 1.0
    ) -> Predictions:
        """The model's answers to one split, with what it writes where the task asks for texts."""
        encoded = getattr(self.encoded, split)
        with blame("backend", self.name_of("backend")):
            predictions = self.model.predict(encoded, trial, scale)
        return attrs.evolve(predictions, texts=self._texts(split, TrialModel(self.model, trial, scale)))

    def _texts(self, split: str, generative_model: GenerativeModel) -> tuple[str, ...] | None:
        """What the model writes to every prompt of a split; None where the task asks for nothing.

        Draws are the same in every round, so that rounds are compared on the same luck.
        """
        decoding = decoding_of(self.spec)
        if decoding is None:
            return None
        rows = repeated(getattr(self.encoded, split), decoding.samples)
        request = request_for(self.spec, decoding, len(rows), self.streams("answers", 0, split))
        return texts_of(self.spec, decoding, rows.inputs, self.write(generative_model, rows, request))

    def write(
        self, generative_model: GenerativeModel, rows: Examples, request: GenerationRequest
    ) -> list[Completion]:
        """Ask the generator, and hold it to its contract."""
        with blame("generator", self.name_of("generator")):
            written: object = self.writer.write(generative_model, rows, request)
        return check_completions(written, len(rows), self.name_of("generator"))

    def judge(self, split: str, predictions: Predictions) -> Outcome:
        """What the task says of answers to one split. Raises `PluginError` for a judgement that does not fit it."""
        return self.judge_examples(getattr(self.splits, split), predictions)

    def judge_examples(self, examples: Examples, predictions: Predictions) -> Outcome:
        """What the task says of answers to examples. Raises `PluginError` for a judgement that does not fit them.

        Of several processes the leader judges for all: a verdict may depend on the machine, and on what else it is doing.
        """
        return self.processes.agree(lambda: self._judged(examples, predictions))

    def _judged(self, examples: Examples, predictions: Predictions) -> Outcome:
        with blame("task", self.name_of("task")):
            outcome = cast("object", self.spec.task.judge(examples, predictions))
        if not isinstance(outcome, Outcome) or len(outcome) != len(examples):
            raise PluginError("task", self.name_of("task"), "judge() must return an Outcome of every example")
        return outcome

    def evaluate_all(self) -> dict[str, Outcome]:
        """Outcomes of the current model on every split."""
        return {name: self.evaluate(name) for name in SPLITS}

    def validate(self, update: Mapping[str, Update], scale: float) -> Metrics:
        """Validation metrics with `scale` times an update added."""
        return metrics_of(self.evaluate("validation", update, scale))


@attrs.frozen(eq=False)
class SplitCache:
    """Splits as tasks load them and models encode them, once for all specs of a study that share them; the latest few are kept."""

    limit: int = 4
    _kept: dict[str, tuple[Splits, Splits]] = attrs.field(factory=dict, init=False)

    def of(self, spec: Spec, streams: Streams) -> tuple[Splits, Splits]:
        """A spec's splits, and the same as the backend takes them."""
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
    """Load the data and plan the run; nothing is trained and no weight is loaded.

    Specs of one study may share the `data` that they load alike.
    """
    streams = Streams(spec.head.seed)
    splits, encoded = (data or SplitCache()).of(spec, streams)
    for tracker, plugin in spec.trackers.items():
        with blame("tracker", tracker):
            plugin.check()
    plan, _ = make_plan(spec, splits, encoded)
    return Prepared(spec=spec, streams=streams, splits=splits, encoded=encoded, plan=plan)


def _load(spec: Spec, streams: Streams) -> Splits:
    """What the task brings. Raises `PluginError` where that is nothing to learn from."""
    name = spec.slots["task"].use
    with blame("task", name):
        splits = cast("object", spec.task.load(streams("split")))
    if not isinstance(splits, Splits):
        raise PluginError("task", name, f"load() returned {type(splits).__name__}, not Splits")
    for split in SPLITS:
        if len(getattr(splits, split)) == 0:
            raise PluginError("task", name, f"the {split} split is empty")
        arrays_of(getattr(splits, split), name)
    warn_of_leakage(splits, name)
    return splits


def source_of(prepared: Prepared, context: RunContext) -> ModelSource:
    """The base weights: loaded, or pretrained on the run's own stream."""
    spec = prepared.spec
    with blame("model", spec.slots["model"].use):
        return spec.model.source(prepared.splits, context, prepared.streams("pretrain"))


def open_experiment(prepared: Prepared, context: RunContext, *, factorise: bool = True) -> Experiment:
    """Get the base weights, open the model, and factorise what the basis will ask for, unless no round is to be played."""
    spec, source = prepared.spec, source_of(prepared, context)
    backend = spec.slots["backend"].use
    sites = [plan.site for plan in prepared.plan.sites]
    with blame("backend", backend):
        model = spec.backend.open(source, sites, context.report)
        views = views_of(spec, prepared.plan.sites, model, context) if factorise else {}
    with blame("generator", spec.slots["generator"].use):
        writer = spec.generator.open(source, sites)
    hashes = {"data": data_sha256(prepared.splits), "weights": source.sha256}
    if isinstance(prepared.encoded.train.inputs, Tokens):
        hashes["tokens"] = data_sha256(
            prepared.encoded
        )  # templates and tokenizers may say something else tomorrow
    fields = {field.name: getattr(prepared, field.name) for field in attrs.fields(Prepared)}
    return Experiment(
        **fields,
        source=source,
        model=model,
        writer=writer,
        views=views,
        hashes=hashes,
        processes=context.processes,
    )


def views_of(spec: Spec, plans: Sequence[SitePlan], weights: Weights, context: RunContext) -> dict[str, View]:
    """Every site as the spec's basis will see it, with the directions that it will ask for."""
    # The options count too: another dtype gives other directions of the same weight.
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
    """All that a split says, for hashing. Raises `PluginError` for inputs whose content cannot be told.

    Inputs are an array of numbers, or have `arrays()`, as `Texts`, `Prompts` and their kinds do.
    """
    inputs = examples.inputs
    arrays = dict(inputs.arrays()) if callable(getattr(inputs, "arrays", None)) else {"inputs": inputs}
    arrays |= {"ids": examples.ids, "labels": examples.labels}
    for array in arrays.values():
        if not isinstance(array, np.ndarray) or array.dtype.hasobject:
            raise PluginError(
                "task",
                task,
                f"inputs of type {type(inputs).__name__} must be an array of numbers, or have arrays() that give their content: "
                "data that no hash covers could change unnoticed",
            )
    return arrays
