"""Examples, what a model says of them, and how that was judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray


@attrs.frozen(kw_only=True, eq=False)
class Examples:
    """One split of a task's data.

    `ids` `(n,)` int64 name the examples for good: the same example has the same id whatever the order of the file,
    so that draws and paired statistics do not depend on that order. `inputs` are rows of numbers `(n, d)` float64, or
    `Texts` or `Prompts`, which the model's tokenizer makes into `Tokens` before a backend sees them. `labels` `(n,)` int64
    are the classes; all 0 where the answer is a text.
    """

    ids: NDArray[np.int64]
    inputs: Any
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, indices: NDArray[np.int64]) -> Examples:
        """The examples at `indices` `(m,)`, in that order; an index may come again."""
        return Examples(ids=self.ids[indices], inputs=self.inputs[indices], labels=self.labels[indices])


@attrs.frozen(kw_only=True, eq=False)
class Splits:
    """A task's data: what to adapt to, what to choose by, what to report, and what the base was trained on."""

    train: Examples
    validation: Examples
    test: Examples
    source: Examples | None = None
    """The domain a base model is pretrained on; None when the task has none, and `train` serves."""
    classes: tuple[str, ...]
    """Names of the classes; empty where the answer is a text."""


@attrs.frozen(kw_only=True, eq=False)
class Predictions:
    """A backend's answer: `output` `(n,)` int64 and `loss` `(n,)` float64 in nats.

    For classes, `output` is the predicted class and `loss` its negative log-likelihood. For texts to be continued, `loss` is
    the mean negative log-likelihood of the right completion's tokens, and `output` counts how many of these tokens are
    the likeliest, given the right ones before them; `targets` `(n,)` says of how many.
    """

    output: NDArray[np.int64]
    loss: NDArray[np.float64]
    targets: NDArray[np.int64] | None = None
    texts: tuple[str, ...] | None = None
    """What the model wrote, where the task asked for it: k texts an example, those of an example one after the other."""


@attrs.frozen(kw_only=True, eq=False)
class Outcome:
    """Per example, all of length n: prediction, loss in nats, correct, and reward (in [0, 1] unless a task says else).

    `prediction` is the class, or a number that names the answer: equal answers have equal numbers.
    """

    ids: NDArray[np.int64]
    prediction: NDArray[np.int64]
    loss: NDArray[np.float64]
    correct: NDArray[np.bool_]
    reward: NDArray[np.float64]
    texts: tuple[str, ...] | None = None
    """What the model wrote, where it was asked to: k texts an example, those of an example one after the other."""
    verdicts: tuple[str, ...] | None = None
    """A word on every text, such as `timed-out`, where a task has more to say than right or wrong."""
    measures: Mapping[str, float] = attrs.field(factory=dict)
    """What else the task measures on the whole split, such as `auroc`, by name (letters, digits and `_`)."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def accuracy(self) -> float:
        """Share of correct examples, in [0, 1]."""
        return float(np.mean(self.correct))

    @property
    def mean_loss(self) -> float:
        """Mean loss in nats."""
        return float(np.mean(self.loss))

    def shuffled(self, indices: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """`indices` in a random order that depends on the examples' ids, not on where they stand in the file."""
        by_id = indices[np.argsort(self.ids[indices], kind="stable")]
        return rng.permutation(by_id)
