"""Protocols of the boosting policies: sampler, basis, adapter, optimizer, merge policy. They decide; backends compute."""

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
        """The examples of a round. Called at the start of every round.

        `outcome` is the current model's on the training split; `history` holds those of earlier models, the base first.
        """
        ...


@runtime_checkable
class Basis(Protocol):
    """Chooses the frames a round trains in, from the weights alone or from data."""

    @property
    def exhausted(self) -> str:
        """What happens when all `capacity` directions are used: `error` before the run starts, or `stop` at that round."""
        ...

    def capacity(self, width: int) -> int | None:
        """Total directions, over all rounds, of a site with `width = min(d_out, d_in)`; None: unlimited.

        No single round needs more than `width`.
        """
        ...

    def depth(self, ranks: Sequence[int], width: int) -> int:
        """Number of leading singular directions of the base weight that rounds of these `ranks` use; 0: none.

        `SiteView.directions` raises IndexError for an index at or beyond it.
        """
        ...

    def calibration(self, rank: int) -> CalibrationSpec | None:
        """Calibration examples of a round of this rank, and their cost; None for a basis of the weights alone."""
        ...

    def frames(
        self,
        sites: Sequence[SiteView],
        earlier: Sequence[int],
        rank: int,
        oracle: GradientOracle | None,
        rng: Callable[[str], np.random.Generator],
    ) -> Mapping[str, Frame]:
        """Every site's frame `U (d_out, rank), S (rank,), V (d_in, rank)`. Called once per round with new directions.

        `earlier` are the ranks of all earlier rounds with new directions, oldest first, refused and inherited ones included.
        `oracle` gives gradients on the examples of `calibration`; None where that is None. `rng(site)` is the site's random stream.
        Frames from data cannot be recomputed without the data, so boost files store them.
        """
        ...


@runtime_checkable
class Adapter(Protocol):
    """Chooses what is trained at a site."""

    @property
    def rank(self) -> int:
        """Rank r of a round's update, and number of columns of its frames."""
        ...

    @property
    def framed(self) -> bool:
        """Whether it trains cores in frames; if not, the basis is not used."""
        ...

    def parametrise(self, site: Site, sites: Sequence[Site], rng: np.random.Generator) -> Parametrisation:
        """The site's parametrisation. Called once per site and round; `sites` are all sites of the run, in order, for tying."""
        ...


@runtime_checkable
class Optimizer(Protocol):
    """Names an update rule that backends implement, with its hyperparameters and learning-rate schedule."""

    @property
    def rule(self) -> str:
        """The rule's name, such as `adam`."""
        ...

    @property
    def steps(self) -> int:
        """Optimiser steps per round."""
        ...

    @property
    def batch_size(self) -> int:
        """Examples per step."""
        ...

    def rates(self, round: int, rounds: int) -> NDArray[np.float64]:  # noqa: A002
        """Learning rates `(steps,)` of round `round`, counting from 0."""
        ...


@runtime_checkable
class MergePolicy(Protocol):
    """Chooses the scale with which an update enters the model, or refuses it."""

    def choose(self, trial: Trial) -> float | Refusal:
        """The scale, or a refusal. Called after training; `trial(scale)` evaluates `scale` times the update on validation data."""
        ...
