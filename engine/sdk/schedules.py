"""Learning-rate schedules over the steps of a round and the rounds of a run."""

from __future__ import annotations

from typing import Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from ..foundation.options import option, positive, share, whole

Decay = Literal["constant", "linear", "cosine"]


def decay_factor(shape: Decay, progress: NDArray[np.float64], floor: float) -> NDArray[np.float64]:
    """Factor in `[floor, 1]` at `progress` in [0, 1): 1, `1 - p`, or `(1 + cos(pi p)) / 2`, rescaled from [0, 1] to `[floor, 1]`."""
    decrease = {
        "constant": np.zeros_like(progress),
        "linear": progress,
        "cosine": (1 - np.cos(np.pi * progress)) / 2,
    }
    return 1.0 - (1.0 - floor) * decrease[shape]


@attrs.frozen(kw_only=True)
class LearningRateSchedule:
    """Options shared by all optimisers; `rate(t, k) = lr * over_rounds(t / T) * over_steps(k / K) * warm-up(k)`."""

    lr: float = option(0.03, "learning rate", positive)
    steps: int = option(40, "optimiser steps per round", whole)
    batch_size: int = option(64, "examples per step", whole)
    over_steps: Decay = option("constant", "decay of the learning rate over the steps of a round")
    over_rounds: Decay = option("constant", "decay of the learning rate over the rounds of the run")
    floor: float = option(0.0, "final learning rate of a decay, as a share of the initial one", share)
    warmup: int = option(0, "linear warm-up steps at the start of every round", min=0)
    clip: float = option(0.0, "maximum global gradient norm; 0: no clipping", min=0.0)

    def rates(self, round: int, rounds: int) -> NDArray[np.float64]:  # noqa: A002
        """Learning rates `(steps,)` of round `round` (from 0) of `rounds`."""
        step = np.arange(self.steps, dtype=np.float64)
        over_rounds = decay_factor(self.over_rounds, np.array([round / max(rounds, 1)]), self.floor)
        rates = self.lr * over_rounds * decay_factor(self.over_steps, step / self.steps, self.floor)
        return rates * np.minimum(1.0, (step + 1) / self.warmup) if self.warmup else rates
