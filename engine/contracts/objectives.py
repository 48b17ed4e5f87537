"""Objectives: what a round's batches are, known beforehand or made of what the policy answers."""

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
class PolicyObjective(Protocol):
    """Learning from rewards: chooses prompts, and makes batches of what the policy answered."""

    @property
    def group_size(self) -> int:
        """Answers a prompt, K."""
        ...

    @property
    def iterations(self) -> int:
        """Optimiser steps on the same answers."""
        ...

    @property
    def sampling(self) -> Sampling:
        """How answers are drawn."""
        ...

    @property
    def max_new_tokens(self) -> int:
        """Tokens of an answer at most; 0: what the task allows."""
        ...

    @property
    def remembers(self) -> tuple[bool, bool]:
        """Whether `batch` wants log-probabilities under the policy that answered, and under the round's starting model."""
        ...

    @property
    def keeps(self) -> bool:
        """Whether the answers are kept in the run's folder; `verify` replays them."""
        ...

    def prompts(
        self, selection: Selection, count: int, batch_size: int, rng: np.random.Generator
    ) -> Sequence[NDArray[np.int64]]:
        """Called once per round: `count` times `batch_size` examples, whose prompts are asked together."""
        ...

    def batch(self, answers: Answers) -> Batch:
        """Called when prompts were answered and judged; an empty batch where the rewards say nothing."""
        ...
