"""The kinds of plugin that decide: one to three verbs each, saying when they are called and with what."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .cores import Parametrisation
from .examples import Outcome
from .frames import Frame, SiteView
from .gradient_oracle import CalibrationSpec, GradientOracle
from .merges import Refusal, Trial
from .sites import Site
from .training import Selection


@runtime_checkable
class Sampler(Protocol):
    """Chooses the examples a round trains on."""

    def select(self, outcome: Outcome, history: Sequence[Outcome], rng: np.random.Generator) -> Selection:
        """Called at the start of every round.

        `outcome` is the current model on the training split; `history` the same of earlier rounds, the base first.
        """
        ...


@runtime_checkable
class Basis(Protocol):
    """Chooses the frames a round trains in, from the weights alone or from data."""

    @property
    def exhausted(self) -> str:
        """What happens when `capacity` directions are taken: `error` before the run starts, or `stop` when it comes to it."""
        ...

    def capacity(self, width: int) -> int | None:
        """How many directions, round after round, a site of `width = min(d_out, d_in)` can give; None: without end.

        It is not asked to give a round more than `width`.
        """
        ...

    def depth(self, ranks: Sequence[int], width: int) -> int:
        """How many leading singular directions of the base weight rounds of these `ranks` ask for (0: none)."""
        ...

    def calibration(self, rank: int) -> CalibrationSpec | None:
        """The examples that a round of this rank is calibrated on, and what that costs; None for a basis of the weights alone."""
        ...

    def frames(
        self,
        sites: Sequence[SiteView],
        earlier: Sequence[int],
        rank: int,
        oracle: GradientOracle | None,
        rng: Callable[[str], np.random.Generator],
    ) -> Mapping[str, Frame]:
        """Every site's frame of one round, with orthonormal columns. Called once a round that takes new directions.

        `earlier` are the ranks of all rounds before that took new directions, oldest first; refused rounds count, and so do
        those inherited from another run. `oracle` answers for the examples of `calibration`, and is None where that is None.
        `rng(site)` is a site's own stream. Frames from data cannot be computed again without it, so files that keep a round keep them too.
        """
        ...


@runtime_checkable
class Adapter(Protocol):
    """Says what is trained at a site."""

    @property
    def rank(self) -> int:
        """Rank r of a round's update at a site; frames have as many columns."""
        ...

    @property
    def framed(self) -> bool:
        """Whether it trains inside a frame; if not, the basis is not asked."""
        ...

    def parametrise(self, site: Site, sites: Sequence[Site], rng: np.random.Generator) -> Parametrisation:
        """Called once per site and round; `sites` are all of the run's, in order, for tying."""
        ...


@runtime_checkable
class Optimizer(Protocol):
    """Names an update rule that backends implement, with its constants and its learning rates."""

    @property
    def rule(self) -> str:
        """The rule's name, such as `adam`."""
        ...

    @property
    def steps(self) -> int:
        """Optimiser steps a round."""
        ...

    @property
    def batch_size(self) -> int:
        """Examples a step."""
        ...

    def rates(self, round: int, rounds: int) -> NDArray[np.float64]:  # noqa: A002
        """Learning rates `(steps,)` of round `round`, counting from 0."""
        ...


@runtime_checkable
class MergePolicy(Protocol):
    """Chooses the scale with which an update enters the model, or refuses it."""

    def choose(self, trial: Trial) -> float | Refusal:
        """Called after training; `trial(scale)` gives validation metrics with `scale` times the update."""
        ...
