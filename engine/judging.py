"""Right or wrong, better or worse: answers against labels, and metrics as numbers to make small."""

from __future__ import annotations

from typing import Literal

from .contracts import Examples, Metrics, Outcome, Predictions

Metric = Literal["accuracy", "loss"]


def badness(metrics: Metrics, metric: Metric) -> float:
    """The loss in nats, or 1 - accuracy."""
    return metrics.loss if metric == "loss" else 1.0 - metrics.accuracy


def judge_labels(examples: Examples, predictions: Predictions) -> Outcome:
    """Classification: correct where the predicted class is the label; the reward is 1 for that, else 0."""
    correct = predictions.output == examples.labels
    return Outcome(
        ids=examples.ids,
        prediction=predictions.output,
        loss=predictions.loss,
        correct=correct,
        reward=correct.astype(float),
    )


def metrics_of(outcome: Outcome) -> Metrics:
    """A split's metrics."""
    return Metrics(accuracy=outcome.accuracy, loss=outcome.mean_loss, count=len(outcome))
