"""Measurements, as shares of the gradient's energy `sum_sites ||G||_F^2`."""

from __future__ import annotations

from typing import Any, Literal

import attrs

Core = Literal["square", "diagonal", "adapter"]
"""A full r x r core, a diagonal core, and the spec's own adapter."""


@attrs.frozen(kw_only=True)
class Share:
    """A share of energy, in [0, 1] up to the noise of an estimated total."""

    captured: float
    """Share captured by frames calibrated on all examples, of their gradient."""
    itself: float
    """By frames calibrated on one half, of that half's gradient; mean of both halves."""
    held_out: float
    """By frames calibrated on one half, of the other half's gradient; mean of both halves. Measures generalisation."""


@attrs.frozen(kw_only=True)
class BasisFinding:
    """What one basis captures."""

    name: str
    own: bool
    """Whether it is the spec's, with the spec's options."""
    data_driven: bool
    """Whether its frames depend on data."""
    first: dict[Core, Share]
    """The next round only."""
    together: dict[Core, Share]
    """All measured rounds together, each with its own core."""
    one_shot: Share
    """A single round with a full core on the directions of all measured rounds, which has many more parameters."""
    equal: Share
    """A single full core on the leading `equal_rank` directions, with as many parameters as all rounds with r x r cores."""
    equal_rank: int
    left: float
    """`||U'G||^2` as a share of the whole energy: restricted to the next round's frame on the output side only."""
    right: float
    """`||G V||^2`: restricted on the input side only."""
    sites: dict[str, float]
    """Share of each site's own energy that the next round captures with an r x r core."""
    project: str | None = None
    """The sides on which it is orthogonal to earlier rounds, if it has such an option."""


@attrs.frozen(kw_only=True)
class UsedFinding:
    """What the directions of earlier rounds capture, each with a full core: the potential of a refit."""

    captured: float
    """Share of the gradient of all calibration examples."""
    held_out: float
    """Share of one half's gradient; mean of both. The directions are older than the sample, so both halves are held out."""
    agreement: float
    """The cosine of the two halves' gradients within these directions; below 0, a step that helps one half harms the other."""


@attrs.frozen(kw_only=True)
class SiteFinding:
    """One weight."""

    name: str
    shape: tuple[int, int]
    energy: float
    """`||G||_F^2`."""
    error: float
    """Its standard error; 0 if it is exact."""
    share: float
    """Share of the energy of all sites."""


@attrs.frozen(kw_only=True)
class Findings:
    """All measurements of a model."""

    name: str
    spec_sha256: str
    model: str
    """The measured model: `the base model`, or `NAME after round N`."""
    number: int
    """The next round."""
    rank: int
    rounds: int
    """Rounds of the spec."""
    fresh: int
    """Rounds of the spec with new directions."""
    rounds_ahead: int
    """Measured rounds ahead, all with new directions."""
    adapter: str
    framed: bool
    """Whether the spec's adapter trains inside frames; if not, `adapter` cores are absent."""
    objective: str
    rewarded: bool
    """Whether the gradient is that of newly sampled completions."""
    own_basis: str
    """The spec's basis, which is absent from `bases` if its directions are used up."""
    sampler: str
    batch_size: int
    steps: int | None
    """Optimiser steps per round; None if it has no such option."""
    refit_every: int
    """The spec's `boosting.refit_every`."""
    train: int
    failures: int
    chosen: int
    calibration_examples: int
    """Distinct calibration examples of the gradient."""
    energy: float
    """`sum_sites ||G||_F^2`."""
    error: float
    """Standard error of the energy; 0 if every site is exact."""
    agreement: float
    """`<G_1, G_2> / (||G_1|| ||G_2||)` of the two halves: 1 if the gradient does not depend on the sample."""
    leading: dict[int, float]
    """By rank: share of the leading directions of every site's gradient, an upper bound for this rank."""
    expected_random: float
    """Expected share of r random directions per side: `r^2 / (d_out d_in)` of a site."""
    sites: tuple[SiteFinding, ...]
    """Largest energy first."""
    bases: tuple[BasisFinding, ...]
    """Largest held-out share of the next round first."""
    used: UsedFinding | None = None
    """Measurements of the run's rounds so far; None before the first."""
    notes: tuple[str, ...] = ()

    @property
    def core(self) -> Core:
        """The core for comparing bases: the adapter's own if it has frames."""
        return "adapter" if self.framed else "square"

    @property
    def own(self) -> BasisFinding | None:
        """Findings of the spec's basis; None if its directions are used up."""
        return next((basis for basis in self.bases if basis.own), None)

    @property
    def finished_rounds(self) -> int:
        """Rounds of the run so far; 0 at the base."""
        return self.number - 1

    @property
    def left(self) -> int:
        """Remaining rounds of the spec."""
        return max(0, self.rounds - self.finished_rounds)

    def basis(self, name: str) -> BasisFinding | None:
        """A basis by name."""
        return next((basis for basis in self.bases if basis.name == name), None)

    def as_json(self) -> dict[str, Any]:
        """The findings as JSON."""
        return {**attrs.asdict(self), "leading": {str(rank): share for rank, share in self.leading.items()}}
