"""Measures of a whole split beside accuracy and loss: how they are computed, and which way is better."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..contracts import Metrics

PLAIN = ("accuracy", "loss")
"""What every task has; all other metrics are measures of some tasks."""

FAULTS = frozenset(
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
"""Measures that are shares of what went wrong."""

SURE = 14.0
"""Log-odds beyond this count as equal: a probability within 1e-6 of 1 has no digits left in a float32 loss, while one near 0 still has."""

Labels = NDArray[np.int64]


def lower_is_better(metric: str) -> bool:
    """Whether a metric, named without its split, is to be made small: the loss, and shares of what went wrong."""
    return metric == "loss" or metric.endswith("_loss") or metric in FAULTS


def value_of(metrics: Metrics, metric: str) -> float:
    """`accuracy`, `loss`, or a measure of the task; NaN where the task has no such measure."""
    if metric in PLAIN:
        return float(getattr(metrics, metric))
    return float(metrics.measures.get(metric, np.nan))


def badness_of(metrics: Metrics, metric: str) -> float:
    """A metric as a number to make small: itself, or 1 minus it where higher is better; NaN where there is none."""
    value = value_of(metrics, metric)
    return value if lower_is_better(metric) else 1.0 - value


def log_odds(labels: Labels, loss: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of class 1 against class 0, `log p_1 / p_0` `(n,)`, from the loss `-log p(label)` in nats.

    `log p / (1 - p) = -loss - log(1 - exp(-loss))`, with the sign of the label; cut to `[-SURE, SURE]`, so that what is certainly right and
    what is certainly wrong are told with the same precision.
    """
    with np.errstate(divide="ignore"):
        of_label = -loss - np.log(-np.expm1(-loss))
    return np.clip(np.where(labels == 1, of_label, -of_label), -SURE, SURE)


def ranking_measures(labels: Labels, scores: NDArray[np.float64]) -> dict[str, float]:
    """`auroc`, and `auprc` as average precision, of scores for class 1; nothing where a class is missing or a score is NaN.

    The area under the receiver operating characteristic counts ties half. Average precision is `sum_k (R_k - R_{k-1}) P_k`
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
    """`mcc`, `balanced_accuracy` and, of class 1 of two, `f1` (of more classes their mean, `macro_f1`).

    Nothing where a class is missing among the labels, since the mean recall and the correlation are not defined then. A
    model that predicts a single class has a correlation of 0, as scikit-learn has it.
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
    """All of both for two classes, from log-odds of class 1; class 1 is predicted where they are above 0."""
    if np.isnan(odds).any():
        return {}
    return {**ranking_measures(labels, odds), **class_measures(labels, (odds > 0).astype(np.int64))}
