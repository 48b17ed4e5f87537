"""A task of Gaussian blobs on which a perceptron of random weights is boosted: rounds take milliseconds."""

import os
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal

import attrs
import numpy as np

from boostlora.engine.contracts import (
    Blueprint,
    Examples,
    ModelSource,
    Outcome,
    Predictions,
    Splits,
    WeightInfo,
)
from boostlora.engine.contracts.records import RoundRecord
from boostlora.engine.foundation.cache import cached, key_of
from boostlora.engine.foundation.options import option, whole
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.hookspecs import hookimpl
from boostlora.engine.sdk.judge import judge_labels

CLASSES = 3


def _pause(moment: str) -> None:
    """Say so and sleep, if this is the moment that the test waits for."""
    if os.environ.get("TOY_PAUSE") == moment:
        print("paused", flush=True)  # noqa: T201 - the test reads it
        time.sleep(60)


def _drift(what: str) -> int:
    """Something that differs from the run's beginning although the spec is the same, as an edited file would."""
    return int(os.environ.get(f"TOY_{what}", "0"))


@attrs.frozen(kw_only=True)
class Blobs:
    """Three clouds of points."""

    each: int = option(20, "training examples of a class", whole)
    columns: int = option(9, "numbers of an example", whole)

    def load(self, rng: np.random.Generator) -> Splits:
        """Points around three centres."""
        _pause("load")
        rng = np.random.Generator(np.random.Philox(key=int(rng.integers(2**31)) + _drift("DATA")))
        centres = rng.standard_normal((CLASSES, self.columns))
        parts, first = dict[str, Examples](), 0
        for split, each in (("train", self.each), ("validation", 8), ("test", 8)):
            labels = np.repeat(np.arange(CLASSES), each)
            inputs = centres[labels] + rng.standard_normal((len(labels), self.columns))
            ids = np.arange(first, first + len(labels))
            parts[split] = Examples(ids=ids, inputs=inputs, labels=labels)
            first += len(labels)
        return Splits(**parts, classes=tuple("abc"))

    def judge(self, examples: Examples, predictions: Predictions) -> Outcome:
        """Right when the cloud is."""
        return judge_labels(examples, predictions)


@attrs.frozen(kw_only=True)
class Random:
    """A perceptron that has learned nothing."""

    hidden: tuple[int, ...] = option((11, 10), "widths of the hidden layers", whole)
    activation: Literal["tanh", "relu"] = option("tanh", "what follows every hidden layer")

    def blueprint(self, splits: Splits) -> Blueprint:
        """Widths from the data."""
        widths = [splits.train.inputs.shape[1], *self.hidden, len(splits.classes)]
        weights = list[WeightInfo]()
        for i, (d_in, d_out) in enumerate(pairwise(widths)):
            name, role, layer = f"layers.{i}", "linear", i
            if i == len(self.hidden):
                name, role, layer = "head", "head", None
            weights.append(WeightInfo(name=f"{name}.weight", shape=(d_out, d_in), role=role, layer=layer))
            weights.append(WeightInfo(name=f"{name}.bias", shape=(d_out,)))
        config = {"hidden": list(self.hidden), "activation": self.activation}
        return Blueprint(architecture="mlp", config=config, weights=tuple(weights))

    def source(self, splits: Splits, context: RunContext, rng: np.random.Generator) -> ModelSource:
        """Gaussian weights, kept in the cache as a pretrained model's would be."""
        blueprint = self.blueprint(splits)
        rng = np.random.Generator(np.random.Philox(key=int(rng.integers(2**31)) + _drift("WEIGHTS")))
        arrays = {
            w.name: (rng.standard_normal(w.shape) / np.sqrt(w.shape[-1])).astype(np.float32)
            for w in blueprint.weights
        }
        key = key_of({"model": "toy", "hidden": self.hidden, "first": float(arrays["head.bias"][0])})
        found = cached(context.cache / "models", key, lambda: arrays)
        return ModelSource(blueprint=blueprint, files=(found.path,), sha256=found.sha256)


@hookimpl
def register_tasks(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `toy-blobs`."""
    register("toy-blobs", Blobs)


@hookimpl
def register_models(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `toy-random`."""
    register("toy-random", Random)


@hookimpl
def round_finished(record: RoundRecord) -> None:
    """Stop here if a test wants to look."""
    _pause(f"round {record.round}")
