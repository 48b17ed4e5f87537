"""Predictions compared with labels: outcomes of classes, tokens and generated texts, and pass@k."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from math import comb

import attrs
import numpy as np
from numpy.typing import NDArray

from ..contracts import Examples, Metrics, Outcome, Predictions
from ..errors import RunError
from ..foundation.counts import count_text
from .metrics import classification_measures, regression_measures


def judge_labels(examples: Examples, predictions: Predictions) -> Outcome:
    """Classification: correct if the predicted class is the label; the reward is 1 if correct, else 0."""
    correct = predictions.output == examples.labels
    return Outcome(
        ids=examples.ids,
        prediction=predictions.output,
        loss=predictions.loss,
        correct=correct,
        reward=correct.astype(float),
    )


def judge_values(examples: Examples, predictions: Predictions, tolerance: float) -> Outcome:
    """Regression: correct if the absolute error is at most `tolerance` standard deviations of the target.

    The reward is `exp(-|error| / std)`; the prediction is the float64 bits of the value in the target's units. Raises `RunError` if
    the backend returned no values.
    """
    if examples.values is None or predictions.logits is None:
        raise RunError("the backend returned no values, but the task needs them")
    z = predictions.logits[:, 0]
    error = np.abs(z - examples.values.standardised)
    return Outcome(
        ids=examples.ids,
        prediction=examples.values.restored(z).view(np.int64),
        loss=predictions.loss,
        correct=error <= tolerance,
        reward=np.exp(-error),
    )


def judge_tokens(examples: Examples, predictions: Predictions) -> Outcome:
    """Completions under teacher forcing: correct if every target token is the argmax given the targets before it.

    Greedy decoding agrees: it reproduces the completion exactly if that holds. The reward is the share of target tokens predicted,
    the prediction their count.
    """
    targets = _target_counts(predictions)
    return Outcome(
        ids=examples.ids,
        prediction=predictions.output,
        loss=predictions.loss,
        correct=predictions.output == targets,
        reward=predictions.output / np.maximum(targets, 1),
    )


def judge_loss(examples: Examples, predictions: Predictions, threshold: float) -> Outcome:
    """Completions by likelihood: correct if the mean loss per token, in nats, is below `threshold`.

    The reward is `exp(-loss)`, the geometric mean of the tokens' probabilities; the prediction is the number of target tokens
    predicted.
    """
    return Outcome(
        ids=examples.ids,
        prediction=predictions.output,
        loss=predictions.loss,
        correct=predictions.loss < threshold,
        reward=np.exp(-predictions.loss),
    )


def judge_texts(examples: Examples, predictions: Predictions, answer: Callable[[str], str | None]) -> Outcome:
    """Generated texts against the target completions: correct if `answer` extracts the same from both.

    `answer(text)` is None for a text without an answer, which is always wrong. The reward is 1 if correct, else 0; the prediction is a
    hash of the answer. Raises `RunError` if the backend generated no texts.
    """
    if predictions.texts is None:
        raise RunError("the backend generated no texts, but the task needs them")
    given = [answer(text) for text in predictions.texts]
    wanted = [answer(text) for text in examples.inputs.completions]
    correct = np.array([g is not None and g == w for g, w in zip(given, wanted, strict=True)], dtype=np.bool_)
    return Outcome(
        ids=examples.ids,
        prediction=np.array([0 if g is None else text_hash(g) for g in given], dtype=np.int64),
        loss=predictions.loss,
        correct=correct,
        reward=correct.astype(float),
        texts=predictions.texts,
    )


@attrs.frozen
class Judgement:
    """The judgement of one text: right or wrong, the extracted answer (None: none), and a verdict such as `timed-out`."""

    right: bool
    answer: str | None = None
    verdict: str = ""


def judge_answers(
    examples: Examples, predictions: Predictions, judged: Sequence[Judgement], required: int = 1
) -> Outcome:
    """Examples with k generated texts each: correct if at least `min(required, k)` of them are right.

    `judged` has one entry for each text, in order. The reward is the share of right texts, so `c = k reward` is the count for
    `pass_at_k`; the prediction is a hash of the first text's answer. Raises `RunError` if the counts do not match.
    """
    texts = predictions.texts or ()
    if len(judged) != len(texts) or not len(examples) or len(texts) % len(examples):
        raise RunError(
            f"{count_text(len(judged), 'judgement')} of {count_text(len(texts), 'text')} for {count_text(len(examples), 'example')}"
        )
    k = len(texts) // len(examples)
    right = np.array([j.right for j in judged], dtype=np.bool_).reshape(-1, k)
    first = [j.answer for j in judged[::k]]
    verdicts = tuple(j.verdict for j in judged)
    return Outcome(
        ids=examples.ids,
        prediction=np.array([0 if a is None else text_hash(a) for a in first], dtype=np.int64),
        loss=predictions.loss,
        correct=right.sum(axis=1) >= min(required, k),
        reward=right.mean(axis=1),
        texts=texts,
        verdicts=verdicts if any(verdicts) else None,
    )


def pass_at_k(right: NDArray[np.int64], samples: int, k: int) -> float:
    """Mean over examples of `1 - C(n - c, k) / C(n, k)`, for c `right` `(examples,)` of n `samples` (Chen et al., 2021, Eq. 1).

    It is the unbiased estimate of the probability that one of k samples is right. Raises ValueError for `k` above n, for which there is
    none.
    """
    if not 1 <= k <= samples:
        raise ValueError(f"pass@{k} needs at least {k} samples, not {samples}")
    return float(np.mean([1.0 - comb(samples - c, k) / comb(samples, k) for c in right.tolist()]))


def text_hash(text: str) -> int:
    """A hash that is the same in every process, unlike `hash`: the first 8 bytes of the SHA-256 of the UTF-8 text, as int64."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "little", signed=True)


def _target_counts(predictions: Predictions) -> NDArray[np.int64]:
    if predictions.targets is None:
        raise RunError("the backend returned no token counts of the completions")
    return predictions.targets


def with_measures(
    outcome: Outcome, examples: Examples, predictions: Predictions, classes: Sequence[str]
) -> Outcome:
    """The outcome with the measures of its kind of task, after those that the task itself measures; see `metrics`."""
    outcome = attrs.evolve(outcome, own=tuple(sorted(outcome.measures)))
    if predictions.logits is None:
        return outcome
    if examples.values is not None:
        predicted = examples.values.restored(predictions.logits[:, 0])
        common = regression_measures(examples.values.original, predicted)
    elif classes:
        common = classification_measures(examples.labels, predictions.logits, classes)
    else:
        return outcome
    return attrs.evolve(
        outcome,
        measures={**outcome.measures, **{n: v for n, v in common.items() if n not in outcome.measures}},
    )


def metrics_of(outcome: Outcome) -> Metrics:
    """The metrics of a split."""
    return Metrics(
        accuracy=outcome.accuracy,
        loss=outcome.mean_loss,
        count=len(outcome),
        measures=dict(outcome.measures),
        own=outcome.own,
    )
