"""What a round trains on, and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from .cores import Parametrisation
from .examples import Examples
from .frames import Frame
from .updates import Update


@attrs.frozen(kw_only=True, eq=False)
class Selection:
    """The examples a round trains on.

    `indices` `(m,)` int64 into the training split, each at most once; `weights` `(m,)` float64, positive: the relative
    chance with which an example is drawn into a batch. Empty: nothing is left to learn, and the run has converged.
    """

    indices: NDArray[np.int64]
    weights: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.indices)

    @classmethod
    def empty(cls) -> Selection:
        """Nothing is left to learn."""
        return cls(indices=np.empty(0, dtype=np.int64), weights=np.empty(0, dtype=np.float64))

    @classmethod
    def equal(cls, indices: NDArray[np.int64]) -> Selection:
        """Every example of `indices` with the same weight."""
        return cls(indices=np.asarray(indices, dtype=np.int64), weights=np.ones(len(indices)))


@attrs.frozen(kw_only=True, eq=False)
class Batch:
    """One optimiser step: `indices` `(b,)` into the training split and `weights` `(b,)` of their log-likelihoods.

    The loss is `-sum_i w_i log p(y_i | x_i) / b`; weights are 1 for supervised learning, advantages for policies. The
    log-likelihood of a completion is the mean over its tokens, so that every example counts the same.
    """

    indices: NDArray[np.int64]
    weights: NDArray[np.float64]


@attrs.frozen(kw_only=True, eq=False)
class Step:
    """One optimiser step as a backend saw it: the loss and the gradients before it, the values after it."""

    number: int
    """Counting from 1."""
    loss: float
    gradients: Mapping[str, NDArray[np.float64]]
    values: Mapping[str, NDArray[np.float64]]


@attrs.frozen(kw_only=True, eq=False)
class TrainingRequest:
    """Everything a backend needs to train one round; it draws no random number of its own."""

    parametrisations: Mapping[str, Parametrisation]
    frames: Mapping[str, Frame]
    """Frames by site name, for the sites whose parametrisation is a `LinearCore`."""
    examples: Examples
    batches: Sequence[Batch]
    learning_rates: NDArray[np.float64]
    """One rate per batch."""
    optimizer: object
    """The optimiser plugin: its `rule` names the update rule, its fields are the rule's constants."""
    on_step: Callable[[int, float], None] = lambda step, loss: None
    trace: Callable[[Step], None] | None = None
    """Is told every step in full, for verification; it costs copies, and on an accelerator waiting."""


@attrs.frozen(kw_only=True, eq=False)
class Training:
    """What one round of training gave."""

    updates: Mapping[str, Update]
    values: Mapping[str, NDArray[np.float64]]
    """What was trained, by group (linear cores) or by site and factor: the only new information of the round."""
    losses: NDArray[np.float64]
    """Loss before each step, in nats."""

    @property
    def parameters(self) -> int:
        """How many numbers were trained."""
        return sum(value.size for value in self.values.values())
