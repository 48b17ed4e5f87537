"""A multilayer perceptron, pretrained on the task's source domain."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.metadata import version
from itertools import pairwise
from typing import Any, Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from ...engine.contracts import Blueprint, Examples, ModelSource, Splits, WeightInfo
from ...engine.errors import UsageError
from ...engine.foundation.cache import arrays_sha256, cached, key_of
from ...engine.foundation.options import option, positive, whole
from ...engine.foundation.run_context import RunContext
from ...engine.hookspecs import hookimpl


@attrs.frozen(kw_only=True)
class Mlp:
    """Dense layers with biases and a linear head, in float32; pretrained by scikit-learn's `MLPClassifier` or `MLPRegressor` (Adam).

    Pretraining uses the task's source domain, else its training split. Sites: `layers.0.weight` …, `head.weight`.
    """

    hidden: tuple[int, ...] = option((128, 128), "widths of the hidden layers", whole)
    activation: Literal["relu", "tanh"] = option("relu", "activation of the hidden layers")
    epochs: int = option(60, "pretraining epochs", whole)
    lr: float = option(1e-3, "learning rate of pretraining", positive)
    batch_size: int = option(64, "batch size of pretraining", whole)
    weight_decay: float = option(1e-4, "L2 penalty of pretraining", min=0.0)

    def __attrs_post_init__(self) -> None:
        """Require at least one hidden layer to adapt."""
        if not self.hidden:
            raise ValueError('"hidden" must hold at least one width')

    def blueprint(self, splits: Splits) -> Blueprint:
        """Widths from the data's columns and classes."""
        if not isinstance(splits.train.inputs, np.ndarray) or splits.train.inputs.ndim != 2:
            raise UsageError("model mlp takes numeric inputs (n, d); this task's inputs are of another kind")
        widths = [splits.train.inputs.shape[1], *self.hidden, splits.outputs]
        weights = list[WeightInfo]()
        for i, (d_in, d_out) in enumerate(pairwise(widths)):
            head = i == len(self.hidden)
            name = "head" if head else f"layers.{i}"
            role = "head" if head else "linear"
            weights.append(
                WeightInfo(name=f"{name}.weight", shape=(d_out, d_in), role=role, layer=None if head else i)
            )
            weights.append(WeightInfo(name=f"{name}.bias", shape=(d_out,)))
        config = {"hidden": list(self.hidden), "activation": self.activation}
        return Blueprint(architecture="mlp", config=config, weights=tuple(weights))

    def source(self, splits: Splits, context: RunContext, rng: np.random.Generator) -> ModelSource:
        """Pretrain, or load the cached result for the same options, data and seed."""
        data = splits.source or splits.train
        seed = int(rng.integers(2**31))
        key = key_of(
            {
                "model": "mlp",
                "options": attrs.asdict(self),
                "data": arrays_sha256({"inputs": data.inputs, "labels": data.targets}),
                "classes": len(splits.classes),
                "seed": seed,
                "scikit-learn": version("scikit-learn"),
            }
        )
        found = cached(
            context.cache / "models",
            key,
            lambda: self._pretrain(data, len(splits.classes), seed, context),
        )
        return ModelSource(blueprint=self.blueprint(splits), files=(found.path,), sha256=found.sha256)

    def _pretrain(
        self, data: Examples, classes: int, seed: int, context: RunContext
    ) -> dict[str, NDArray[np.float32]]:
        from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415
        from sklearn.neural_network import MLPClassifier, MLPRegressor  # noqa: PLC0415
        from threadpoolctl import threadpool_limits  # noqa: PLC0415

        known = {} if data.values is not None else {"classes": np.arange(classes)}
        net: Any = (MLPClassifier if known else MLPRegressor)(
            hidden_layer_sizes=self.hidden,
            activation=self.activation,
            alpha=self.weight_decay,
            batch_size=min(self.batch_size, len(data)),  # type: ignore[arg-type] - the stubs only know "auto"
            learning_rate_init=self.lr,
            random_state=np.random.RandomState(seed),
        )
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the user sets the number of epochs
            for epoch in range(self.epochs):
                net.partial_fit(data.inputs, data.targets, **known)
                context.report("pretraining", epoch + 1, self.epochs)
        return _named_weights(net)


def _named_weights(net: Any) -> dict[str, NDArray[np.float32]]:
    """scikit-learn's coefficients `(d_in, d_out)` as named weights `(d_out, d_in)`.

    For two classes it has one output, the log-odds z of the second class, which equals logits `(0, z)`; a regression keeps its one output.
    """
    last = len(net.coefs_) - 1
    named = dict[str, NDArray[np.float32]]()
    for i, (coefficients, bias) in enumerate(zip(net.coefs_, net.intercepts_, strict=True)):
        rows = np.column_stack([coefficients.T, bias])
        if i == last and net.out_activation_ == "logistic":
            rows = np.vstack([np.zeros_like(rows), rows])
        name = "head" if i == last else f"layers.{i}"
        named[f"{name}.weight"] = rows[:, :-1].astype(np.float32)
        named[f"{name}.bias"] = rows[:, -1].astype(np.float32)
    return named


@hookimpl
def register_models(register: Callable[[str, type[Any]], None]) -> None:
    """Register `mlp`."""
    register("mlp", Mlp)
