"""Examples, a model's predictions, and the task's judgement of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray


@attrs.frozen(kw_only=True, eq=False)
class Examples:
    """One split of a task's data.

    `ids` `(n,)` int64 are stable: an example has the same id whatever the order of the file, so random draws and paired
    statistics do not depend on that order. `inputs` are a numeric array `(n, d)` float64, or `Texts` or `Prompts`, which
    the model's tokenizer turns into `Tokens` before the backend gets them. `labels` `(n,)` int64
    are the classes; all 0 where the answer is a text.
    """

    ids: NDArray[np.int64]
    inputs: Any
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, indices: NDArray[np.int64]) -> Examples:
        """The examples at `indices` `(m,)`, in that order; indices may repeat."""
        return Examples(ids=self.ids[indices], inputs=self.inputs[indices], labels=self.labels[indices])


@attrs.frozen(kw_only=True, eq=False)
class Splits:
    """A task's data: `train` to fit, `validation` to select by, `test` to report, `source` to pretrain the base on."""

    train: Examples
    validation: Examples
    test: Examples
    source: Examples | None = None
    """The source domain for pretraining a base model; None: pretrain on `train`."""
    classes: tuple[str, ...]
    """Names of the classes; empty where the answer is a text."""


@attrs.frozen(kw_only=True, eq=False)
class Predictions:
    """A model's predictions: `output` `(n,)` int64 and `loss` `(n,)` float64 in nats.

    In classification, `output` is the predicted class and `loss` the negative log-likelihood of the label. For prompts, `loss` is
    the mean negative log-likelihood of the reference completion's tokens, and `output` the number of these tokens that are
    the argmax under teacher forcing, of `targets` `(n,)` in all.
    """

    output: NDArray[np.int64]
    loss: NDArray[np.float64]
    targets: NDArray[np.int64] | None = None
    texts: tuple[str, ...] | None = None
    """Generated texts, where the task judges them: k per example, those of one example adjacent."""


@attrs.frozen(kw_only=True, eq=False)
class Outcome:
    """Per example, all of length n: prediction, loss in nats, correct, and reward (in [0, 1] unless the task documents another range).

    `prediction` is the class, or an id of the answer: equal answers have equal ids.
    """

    ids: NDArray[np.int64]
    prediction: NDArray[np.int64]
    loss: NDArray[np.float64]
    correct: NDArray[np.bool_]
    reward: NDArray[np.float64]
    texts: tuple[str, ...] | None = None
    """Generated texts, where the task judges them: k per example, those of one example adjacent."""
    verdicts: tuple[str, ...] | None = None
    """A label of every text, such as `timed-out`, where the task distinguishes more than right and wrong."""
    measures: Mapping[str, float] = attrs.field(factory=dict)
    """Further metrics of the whole split, such as `auroc`, by name (letters, digits and `_`)."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def accuracy(self) -> float:
        """Fraction of correct examples, in [0, 1]."""
        return float(np.mean(self.correct))

    @property
    def mean_loss(self) -> float:
        """Mean loss in nats."""
        return float(np.mean(self.loss))

    def shuffled(self, indices: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """`indices` in a random order that depends on the examples' ids, not on their order in the file."""
        by_id = indices[np.argsort(self.ids[indices], kind="stable")]
        return rng.permutation(by_id)
