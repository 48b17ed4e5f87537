"""Right or wrong, better or worse: answers against labels, and metrics as numbers to make small."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from math import comb
from typing import Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from ..contracts import Examples, Metrics, Outcome, Predictions
from ..errors import RunError

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


@attrs.frozen
class Judged:
    """What a task says of one text: right or wrong, the answer it found (None: none), and a word where it has more to say."""

    right: bool
    answer: str | None = None
    verdict: str = ""


def judge_answers(
    examples: Examples, predictions: Predictions, judged: Sequence[Judged], required: int = 1
) -> Outcome:
    """Examples by what was written, k texts each: correct where at least `required` of them are right (all k, where k is less).

    `judged` has an entry for every text, in their order. The reward is the share of texts right; the prediction names the first text's
    answer. `pass_at_k` and whoever wants to count the right ones again find `c = k reward`.
    """
    texts = predictions.texts or ()
    if len(judged) != len(texts) or not len(examples) or len(texts) % len(examples):
        raise RunError(f"{len(judged)} judgements of {len(texts)} texts for {len(examples)} examples")
    k = len(texts) // len(examples)
    right = np.array([j.right for j in judged], dtype=np.bool_).reshape(-1, k)
    first = [j.answer for j in judged[::k]]
    verdicts = tuple(j.verdict for j in judged)
    return Outcome(
        ids=examples.ids,
        prediction=np.array([0 if a is None else text_number(a) for a in first], dtype=np.int64),
        loss=predictions.loss,
        correct=right.sum(axis=1) >= min(required, k),
        reward=right.mean(axis=1),
        texts=texts,
        verdicts=verdicts if any(verdicts) else None,
    )


def pass_at_k(right: NDArray[np.int64], samples: int, k: int) -> float:
    """Mean over examples of `1 - C(n - c, k) / C(n, k)`, for c `right` of n `samples` (Chen et al., 2021, Eq. 1).

    Raises ValueError for `k` above n, of which n samples say nothing.
    """
    if not 1 <= k <= samples:
        raise ValueError(f"pass@{k} needs at least {k} samples, not {samples}")
    return float(np.mean([1.0 - comb(samples - c, k) / comb(samples, k) for c in right.tolist()]))


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
    return Metrics(
        accuracy=outcome.accuracy,
        loss=outcome.mean_loss,
        count=len(outcome),
        measures=dict(outcome.measures),
    )
