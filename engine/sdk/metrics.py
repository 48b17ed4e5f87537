"""Metrics of a split beyond accuracy and loss: their computation, and which direction is better."""

from __future__ import annotations

import re
from collections.abc import Sequence

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

CLASS_MEASURES = ("balanced_accuracy", "macro_f1", "f1", "mcc", "auroc", "auprc", "calibration_error")
"""Measures of every task with classes; `f1` where there are two."""

VALUE_MEASURES = ("rmse", "mae", "r2")
"""Measures of every regression."""

RECALL = "recall_"
"""Measures of a class's recall begin with this."""
MOST_RECALLS = 20
"""Classes up to which the recall of each is measured."""

Labels = NDArray[np.int64]
Scores = NDArray[np.float64]


def lower_is_better(metric: str) -> bool:
    """Whether lower values of a metric, named without its split, are better: losses, errors and error rates."""
    return metric == "loss" or metric.endswith(("_loss", "_error")) or metric in {"rmse", "mae"} | ERROR_RATES


def is_regression(metrics: Metrics) -> bool:
    """Whether the metrics are of a regression, whose accuracy is only the share of values within the task's tolerance."""
    return "rmse" in metrics.measures


def default_metric(metrics: Metrics) -> str:
    """The metric by which rounds are compared unless another is named: accuracy, in a regression the loss."""
    return "loss" if is_regression(metrics) else "accuracy"


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


def ranking_measures(labels: Labels, scores: Scores) -> dict[str, float]:
    """`auroc` and `auprc` of scores for class 1 `(n,)`; empty if a class is missing or a score is NaN."""
    if len(np.unique(labels)) != 2 or np.isnan(scores).any():
        return {}
    positive = labels == 1
    return {"auroc": area_under_roc(positive, scores), "auprc": average_precision(positive, scores)}


def area_under_roc(positive: NDArray[np.bool_], scores: Scores) -> float:
    """Probability that a positive scores above a negative, ties counting half: `(R - P (P + 1) / 2) / (P N)`.

    `R` is the sum of the positives' ranks (the Mann-Whitney statistic), for P positives and N negatives.
    """
    return _ranking(positive, scores)[0]


def average_precision(positive: NDArray[np.bool_], scores: Scores) -> float:
    """`sum_k (R_k - R_{k-1}) P_k` of recall and precision at every distinct score as threshold, without interpolation."""
    return _ranking(positive, scores)[1]


def _ranking(positive: NDArray[np.bool_], scores: Scores) -> tuple[float, float]:
    """Area under the ROC curve, and average precision, from one sort."""
    values, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    hits = np.bincount(place[positive], minlength=len(values))
    P, N = int(hits.sum()), len(scores) - int(hits.sum())
    ranks = np.cumsum(counts) - (counts - 1) / 2  # equal scores have the mean of their ranks
    auroc = (float(hits @ ranks) - P * (P + 1) / 2) / (P * N)
    falling = hits[::-1]
    precision = np.cumsum(falling) / np.cumsum(counts[::-1])
    return auroc, float(falling @ precision) / P


def confusion_matrix(labels: Labels, predicted: Labels, classes: int) -> NDArray[np.int64]:
    """Counts `C (classes, classes)`: `C_ij` examples of class i are predicted as class j."""
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def class_measures(labels: Labels, predicted: Labels, classes: int = 2) -> dict[str, float]:
    """`balanced_accuracy` (mean recall of the classes), `macro_f1` (mean F1), `mcc` and, for two classes, `f1` of class 1.

    `mcc` is `(n tr C - t.p) / sqrt((n^2 - p.p) (n^2 - t.t))` with the confusion matrix `C`, its row sums t and column sums p (Gorodkin,
    2004); 0 for a model that predicts a single class. Empty if a class is missing among the labels: its recall is then undefined.
    """
    C = confusion_matrix(labels, predicted, classes).astype(np.float64)
    truth, found, hits = C.sum(axis=1), C.sum(axis=0), np.diag(C)
    if classes < 2 or not truth.all():
        return {}
    n = len(labels)
    spread = np.sqrt((n**2 - found @ found) * (n**2 - truth @ truth))
    f1 = 2.0 * hits / (truth + found)
    return {
        "mcc": float((n * hits.sum() - truth @ found) / spread) if spread else 0.0,
        "balanced_accuracy": float(np.mean(hits / truth)),
        "macro_f1": float(f1.mean()),
        **({"f1": float(f1[1])} if classes == 2 else {}),
    }


def binary_measures(labels: Labels, odds: Scores) -> dict[str, float]:
    """`ranking_measures` and `class_measures` of two classes, from log-odds of class 1; class 1 is predicted if they are above 0."""
    if np.isnan(odds).any():
        return {}
    return {**ranking_measures(labels, odds), **class_measures(labels, (odds > 0).astype(np.int64))}


def probabilities(logits: Scores) -> Scores:
    """`softmax(z)` by row `(n, classes)`."""
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def calibration_error(labels: Labels, p: Scores, bins: int = 15) -> float:
    """Expected calibration error `sum_b n_b / n |accuracy_b - confidence_b|` over bins of equal width of `max_j p_ij` (Guo et al., 2017)."""
    confidence, right = p.max(axis=1), p.argmax(axis=1) == labels
    members = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(members, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def recall_names(classes: Sequence[str]) -> tuple[str, ...]:
    """The measure of every class's recall, `recall_` and its name in letters, digits and `_`; by number if two would be equal."""
    named = tuple(
        f"{RECALL}{re.sub(r'[^A-Za-z0-9]+', '_', name).strip('_') or i}" for i, name in enumerate(classes)
    )
    return named if len(set(named)) == len(named) else tuple(f"{RECALL}{i}" for i in range(len(classes)))


def classification_measures(labels: Labels, logits: Scores, classes: Sequence[str]) -> dict[str, float]:
    """All of `CLASS_MEASURES`, and the recall of every class if there are at most `MOST_RECALLS` classes.

    AUROC and AUPRC are those of class 1 of two, and else the mean over classes, each against all others. A measure that is undefined,
    since a class has no example, is left out.
    """
    p, k = probabilities(logits), len(classes)
    found = class_measures(labels, logits.argmax(axis=1), k)
    if np.isnan(p).any() or not len(labels):
        return found
    if found:
        ranked = [1] if k == 2 else range(k)
        odds = _log_odds(logits)
        areas = np.array([_ranking(labels == j, odds[:, j]) for j in ranked])
        found["auroc"], found["auprc"] = (float(mean) for mean in areas.mean(axis=0))
    found["calibration_error"] = calibration_error(labels, p)
    if k <= MOST_RECALLS:
        C = confusion_matrix(labels, logits.argmax(axis=1), k)
        recalls = zip(recall_names(classes), np.diag(C), C.sum(axis=1), strict=True)
        found |= {name: float(hits / count) for name, hits, count in recalls if count}
    return found


def _log_odds(logits: Scores) -> Scores:
    """`z_j - log sum_{i != j} exp z_i` `(n, classes)`: it ranks like the probability, and does not round to equal values near 1."""
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    others = np.zeros_like(e)  # sums of those before and after, since the total minus one cancels
    others[:, 1:] += np.cumsum(e, axis=1)[:, :-1]
    others[:, :-1] += np.cumsum(e[:, ::-1], axis=1)[:, -2::-1]
    with np.errstate(divide="ignore"):
        return np.log(e) - np.log(others)


def regression_measures(y: Scores, predicted: Scores) -> dict[str, float]:
    """`rmse` and `mae` in the target's units, and `r2 = 1 - sum (y - z)^2 / sum (y - mean y)^2`; without `r2` if all targets are equal."""
    residuals, spread = y - predicted, float(np.sum((y - y.mean()) ** 2))
    found = {"rmse": float(np.sqrt(np.mean(residuals**2))), "mae": float(np.mean(np.abs(residuals)))}
    return {**found, "r2": 1.0 - float(np.sum(residuals**2)) / spread} if spread else found
