"""Right or wrong, better or worse: answers against labels, and metrics as numbers to make small."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .contracts import Examples, Metrics, Outcome, Predictions
from .errors import RunError

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


def judge_tokens(examples: Examples, predictions: Predictions) -> Outcome:
    """Completions token by token: correct where every right token is the likeliest, given the right ones before it.

    That is the verdict of greedy decoding on the same tokens, from one pass. The reward is the share of tokens right, the
    prediction their number.
    """
    targets = _targets(predictions)
    return Outcome(
        ids=examples.ids,
        prediction=predictions.output,
        loss=predictions.loss,
        correct=predictions.output == targets,
        reward=predictions.output / np.maximum(targets, 1),
    )


def judge_loss(examples: Examples, predictions: Predictions, threshold: float) -> Outcome:
    """Completions by how likely they are: correct where the mean loss of a token, in nats, is below `threshold`.

    The reward is `exp(-loss)`, the geometric mean of the tokens' probabilities; the prediction is the number of tokens right.
    """
    return Outcome(
        ids=examples.ids,
        prediction=predictions.output,
        loss=predictions.loss,
        correct=predictions.loss < threshold,
        reward=np.exp(-predictions.loss),
    )


def judge_texts(examples: Examples, predictions: Predictions, answer: Callable[[str], str | None]) -> Outcome:
    """What the model wrote against the right completions: correct where `answer` finds the same in both.

    `answer(text)` is None where a text has none, which is wrong whatever was expected. The reward is 1 for a right answer,
    else 0; the prediction is a hash of the answer.
    """
    if predictions.texts is None:
        raise RunError("the backend wrote no texts, though the task asks for them")
    given = [answer(text) for text in predictions.texts]
    wanted = [answer(text) for text in examples.inputs.completions]
    correct = np.array([g is not None and g == w for g, w in zip(given, wanted, strict=True)], dtype=np.bool_)
    return Outcome(
        ids=examples.ids,
        prediction=np.array([0 if g is None else text_number(g) for g in given], dtype=np.int64),
        loss=predictions.loss,
        correct=correct,
        reward=correct.astype(float),
        texts=predictions.texts,
    )


def text_number(text: str) -> int:
    """A number for a text, the same in every process: the first 8 bytes of the SHA-256 of its UTF-8, as int64."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "little", signed=True)


def _targets(predictions: Predictions) -> NDArray[np.int64]:
    if predictions.targets is None:
        raise RunError("the backend did not say of how many tokens a completion is")
    return predictions.targets


def metrics_of(outcome: Outcome) -> Metrics:
    """A split's metrics."""
    return Metrics(accuracy=outcome.accuracy, loss=outcome.mean_loss, count=len(outcome))
