"""Trivial rivals of a run on the same splits: the majority class or the mean, and a linear model of the inputs.

The rivals are fitted on the training split, and measured on validation and test: `accuracy` and `balanced_accuracy` of classes, `rmse` of
values. The linear model is scikit-learn's `LogisticRegression` or `Ridge`, with penalty 1, on standardised numeric inputs.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..contracts import Examples, Splits
from ..foundation.cache import cached, key_of
from ..foundation.rng import Streams
from ..foundation.run_context import RunContext
from ..sdk.metrics import class_measures, regression_measures
from .experiment import Experiment

MOST_ROWS = 20_000
"""Training rows of the linear model; of more, a random sample."""
MOST_WORK = 5 * 10**7
"""Rows times inputs times outputs above which there is no linear model: about ten seconds on one core."""
MEASURED = ("validation", "test")

Predicted = Mapping[str, NDArray[Any]]
"""Predicted classes or values `(n,)`, by split."""


def rivals_of(experiment: Experiment, context: RunContext) -> dict[str, Any] | None:
    """Measures of every rival by split, the base's name, and notes; None for tasks without classes or values.

    They are cached by the hash of the data.
    """
    splits = experiment.splits
    if not splits.outputs:
        return None
    note = _reason_against_linear(splits)
    key = key_of(
        {
            "data": experiment.hashes["data"],
            "limits": [MOST_ROWS, MOST_WORK],
            "scikit-learn": version("scikit-learn"),
        }
    )
    context.report("fitting rivals", 0, 0)
    found = cached(context.cache / "rivals", key, lambda: _measure(splits, linear=not note)).arrays()
    measured = dict[str, dict[str, dict[str, float]]]()
    for name in _names(splits):
        for split in MEASURED:
            for measure in ("accuracy", "balanced_accuracy", "rmse"):
                if (value := found.get(f"{name}/{split}/{measure}")) is not None:
                    measured.setdefault(name, {}).setdefault(split, {})[measure] = float(value[0])
    if not note and len(splits.train) > MOST_ROWS:
        note = f"the linear model is fitted on {MOST_ROWS:,} of {len(splits.train):,} training rows"
    return {"models": measured, "base": _base_name(experiment), "notes": [note] if note else []}


def _names(splits: Splits) -> tuple[str, str]:
    return ("mean", "ridge regression") if splits.train.values else ("majority class", "logistic regression")


def _base_name(experiment: Experiment) -> str:
    """The base, or what it is where a linear head was fitted to an encoder's features."""
    if not experiment.source.fitted:
        return "base"
    return "base (linear probe)" if experiment.splits.source is None else "base (probe on source)"


def _reason_against_linear(splits: Splits) -> str:
    """Why there is no linear model; empty if there is one."""
    inputs = splits.train.inputs
    if not isinstance(inputs, np.ndarray) or inputs.ndim != 2:
        return "no linear model: the inputs are no table of numbers"
    if not all(np.isfinite(getattr(splits, name).inputs).all() for name in ("train", *MEASURED)):
        return "no linear model: some inputs are not finite"
    if min(len(inputs), MOST_ROWS) * inputs.shape[1] * splits.outputs > MOST_WORK:
        return "no linear model: the inputs are too many for a quick fit"
    if splits.train.values is None and len(np.unique(splits.train.labels)) < 2:
        return "no linear model: the training split has a single class"
    return ""


def _measure(splits: Splits, *, linear: bool) -> dict[str, NDArray[np.float64]]:
    """Measures by rival, split and name, as arrays of one value."""
    constant, fitted = _names(splits)
    models = {constant: _predict_constant(splits)}
    if linear:
        models[fitted] = _predict_linear(splits)
    return {
        f"{name}/{split}/{measure}": np.array([value])
        for name, predicted in models.items()
        for split in MEASURED
        for measure, value in _measures(getattr(splits, split), predicted[split], splits).items()
    }


def _measures(examples: Examples, predicted: NDArray[Any], splits: Splits) -> dict[str, float]:
    if examples.values is not None:
        return {"rmse": regression_measures(examples.values.original, predicted)["rmse"]}
    found = {"accuracy": float(np.mean(predicted == examples.labels))}
    balanced = class_measures(examples.labels, predicted, len(splits.classes)).get("balanced_accuracy")
    return found if balanced is None else {**found, "balanced_accuracy": balanced}


def _predict_constant(splits: Splits) -> Predicted:
    """The mean of the training values, or the most frequent training class."""
    train = splits.train
    best = int(np.argmax(np.bincount(train.labels))) if train.values is None else train.values.original.mean()
    return {split: np.full(len(getattr(splits, split)), best) for split in MEASURED}


def _predict_linear(splits: Splits) -> Predicted:
    """Predictions of the linear model, fitted in one thread."""
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression, Ridge  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    train = splits.train
    if len(train) > MOST_ROWS:
        train = train.take(np.sort(Streams(0)("rivals").permutation(len(train))[:MOST_ROWS]))
    mean, std = train.inputs.mean(axis=0), train.inputs.std(axis=0)
    std = np.where(std > 0.0, std, 1.0)
    model: Any = LogisticRegression(max_iter=100, tol=1e-3) if train.values is None else Ridge()
    target = train.labels if train.values is None else train.values.original
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit((train.inputs - mean) / std, target)
        return {split: model.predict((getattr(splits, split).inputs - mean) / std) for split in MEASURED}
