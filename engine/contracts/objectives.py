"""Objectives: a round's batches, from labelled examples or from the policy's rewarded answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .generation import Sampling
from .training import Answers, Batch, Selection


@runtime_checkable
class Objective(Protocol):
    """Turns a selection into the batches of a round."""

    def batches(
        self, selection: Selection, steps: int, batch_size: int, rng: np.random.Generator
    ) -> Sequence[Batch]:
        """Called once per round: `steps` batches, each of `batch_size` examples."""
        ...


@runtime_checkable
class RegressionObjective(Objective, Protocol):
    """An objective of values instead of classes; its batches have this `delta`."""

    @property
    def delta(self) -> float | None:
        """Threshold of the Huber loss; None: squared error."""
        ...


@runtime_checkable
class WeightedObjective(Objective, Protocol):
    """An objective that weighs the loss of examples by their labels."""

    def label_weights(self, labels: NDArray[np.int64], classes: int) -> NDArray[np.float64] | None:
        """Called with all training labels `(n,)`, which may be of no class: a weight for each example `(n,)`; None: 1 for all."""
        ...


@runtime_checkable
class PolicyObjective(Protocol):
    """Policy optimisation from rewards: chooses prompts, and turns sampled answers into batches."""

    @property
    def group_size(self) -> int:
        """Answers per prompt, K."""
        ...

    @property
    def iterations(self) -> int:
        """Optimiser steps on the same answers."""
        ...

    @property
    def sampling(self) -> Sampling:
        """Temperature and nucleus of sampled answers."""
        ...

    @property
    def max_new_tokens(self) -> int:
        """Most tokens of an answer; 0: the task's limit."""
        ...

    @property
    def remembers(self) -> tuple[bool, bool]:
        """Whether `batch` needs log-probabilities under the sampling policy, and under the round's starting model."""
        ...

    @property
    def keeps(self) -> bool:
        """Whether answers are stored in the run's folder; `verify` checks them."""
        ...

    def prompts(
        self, selection: Selection, count: int, batch_size: int, rng: np.random.Generator
    ) -> Sequence[NDArray[np.int64]]:
        """`count` arrays `(batch_size,)` of indices; the prompts of one array form a batch. Called once per round."""
        ...

    def batch(self, answers: Answers) -> Batch:
        """The batch of judged answers; empty where no group has reward variance."""
        ...
