"""Metrics of a split beyond accuracy and loss: their computation, and which direction is better."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..contracts import Metrics

BASIC_METRICS = ("accuracy", "loss")
"""Metrics of every task; all others are measures of some tasks."""

ERROR_RATES = frozenset(
    {
        "timed_out",
        "crashed",
        "refused",
        "unanswered",
        "cut_off",
        "unparsed",
        "unsupported",
        "errors",
        "killed",
    }
)
"""Measures that are rates of failures; lower is better."""

MAX_LOG_ODDS = 14.0
"""Log-odds are clipped to this: a float32 loss cannot resolve probabilities within 1e-6 of 1, though it can near 0."""

Labels = NDArray[np.int64]


def lower_is_better(metric: str) -> bool:
    """Whether lower values of a metric, named without its split, are better: losses and error rates."""
    return metric == "loss" or metric.endswith("_loss") or metric in ERROR_RATES


def value_of(metrics: Metrics, metric: str) -> float:
    """`accuracy`, `loss`, or a measure of the task; NaN if the task has no such measure."""
    if metric in BASIC_METRICS:
        return float(getattr(metrics, metric))
    return float(metrics.measures.get(metric, np.nan))


def cost(metrics: Metrics, metric: str) -> float:
    """A metric to be minimised: itself, or 1 minus it if higher is better; NaN if the task has no such measure."""
    value = value_of(metrics, metric)
    return value if lower_is_better(metric) else 1.0 - value


def log_odds(labels: Labels, loss: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-odds of class 1, `log p_1 / p_0` `(n,)`, from the loss `-log p(label)` in nats.

    `log p / (1 - p) = -loss - log(1 - exp(-loss))`, with the sign of the label; clipped to `[-MAX_LOG_ODDS, MAX_LOG_ODDS]`,
    so that confident right and confident wrong predictions have the same resolution.
    """
    with np.errstate(divide="ignore"):
        of_label = -loss - np.log(-np.expm1(-loss))
    return np.clip(np.where(labels == 1, of_label, -of_label), -MAX_LOG_ODDS, MAX_LOG_ODDS)


def ranking_measures(labels: Labels, scores: NDArray[np.float64]) -> dict[str, float]:
    """`auroc`, and `auprc` as average precision, of scores for class 1; empty if a class is missing or a score is NaN.

    AUROC counts ties half. Average precision is `sum_k (R_k - R_{k-1}) P_k`
    over the thresholds, without interpolation.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score  # noqa: PLC0415 - a second to import

    if len(np.unique(labels)) != 2 or np.isnan(scores).any():
        return {}
    return {
        "auroc": float(roc_auc_score(labels, scores)),
        "auprc": float(average_precision_score(labels, scores)),
    }


def class_measures(labels: Labels, predicted: Labels, classes: int = 2) -> dict[str, float]:
    """`mcc`, `balanced_accuracy`, and `f1` of class 1 (for more than two classes the mean over classes, `macro_f1`).

    Empty if a class is missing among the labels, since balanced accuracy and the correlation coefficient are then undefined. A model
    that predicts a single class has an `mcc` of 0, as in scikit-learn.
    """
    from sklearn.metrics import (  # noqa: PLC0415 - a second to import
        balanced_accuracy_score,
        f1_score,
        matthews_corrcoef,
    )

    if len(np.unique(labels)) != classes or classes < 2:
        return {}
    more: dict[str, Any] = {} if classes == 2 else {"average": "macro", "labels": list(range(classes))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a predicted class that is no label
        return {
            "mcc": float(matthews_corrcoef(labels, predicted)),
            "balanced_accuracy": float(balanced_accuracy_score(labels, predicted)),
            ("f1" if classes == 2 else "macro_f1"): float(
                f1_score(labels, predicted, zero_division=0.0, **more)  # pyright: ignore[reportArgumentType] - 0.0 is allowed
            ),
        }


def binary_measures(labels: Labels, odds: NDArray[np.float64]) -> dict[str, float]:
    """`ranking_measures` and `class_measures` of two classes, from log-odds of class 1; class 1 is predicted if they are above 0."""
    if np.isnan(odds).any():
        return {}
    return {**ranking_measures(labels, odds), **class_measures(labels, (odds > 0).astype(np.int64))}
