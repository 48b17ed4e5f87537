"""Examples, what a model says of them, and how that was judged."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray


@attrs.frozen(kw_only=True, eq=False)
class Examples:
    """One split of a task's data.

    `ids` `(n,)` int64 name the examples for good: the same example has the same id whatever the order of the file,
    so that draws and paired statistics do not depend on that order. `inputs` is what the backend's architecture
    takes (for an `mlp`: `(n, d)` float64), `labels` `(n,)` int64 the classes.
    """

    ids: NDArray[np.int64]
    inputs: Any
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, indices: NDArray[np.int64]) -> Examples:
        """The examples at `indices` `(m,)`, in that order."""
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


@attrs.frozen(kw_only=True, eq=False)
class Predictions:
    """A backend's answer: `output` `(n,)` int64 the predicted class, `loss` `(n,)` float64 in nats."""

    output: NDArray[np.int64]
    loss: NDArray[np.float64]


@attrs.frozen(kw_only=True, eq=False)
class Outcome:
    """Per example, all of length n: prediction, loss in nats, correct, and reward (in [0, 1] unless a task says else)."""

    ids: NDArray[np.int64]
    prediction: NDArray[np.int64]
    loss: NDArray[np.float64]
    correct: NDArray[np.bool_]
    reward: NDArray[np.float64]

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
