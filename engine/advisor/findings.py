"""What a look has found, in shares of the gradient's energy `sum_sites ||G||_F^2`."""

from __future__ import annotations

from typing import Any, Literal

import attrs

Core = Literal["square", "diagonal", "adapter"]
"""A full r x r core, a diagonal one, and what the spec's own adapter trains."""


@attrs.frozen(kw_only=True)
class Share:
    """A share of energy, in [0, 1] but for the noise of an estimated total."""

    captured: float
    """By frames that heard all that was heard, of its gradient."""
    itself: float
    """By frames that heard one half, of that half's gradient; mean of both."""
    held_out: float
    """By frames that heard one half, of the other's; mean of both. What does not depend on the examples heard survives here."""


@attrs.frozen(kw_only=True)
class BasisFinding:
    """What one basis captures."""

    name: str
    own: bool
    """Whether it is the spec's, with the spec's options."""
    data_driven: bool
    """Whether it hears the data."""
    first: dict[Core, Share]
    """The next round alone."""
    together: dict[Core, Share]
    """The rounds that were looked at, all of them together, every one with a core of its own."""
    one_shot: Share
    """A single round with a full core on the directions of all these rounds, and so with many more numbers."""
    equal: Share
    """A single full core on the leading `equal_rank` of them: as many numbers as all rounds with r x r cores have."""
    equal_rank: int
    left: float
    """Of the whole gradient, `||U'G||^2`: held to the next round's frame on the output side alone."""
    right: float
    """`||G V||^2`: on the input side alone."""
    sites: dict[str, float]
    """By site, the share of its own energy that the next round captures with an r x r core."""
    project: str | None = None
    """From which sides it keeps clear of earlier rounds, where it has an option for that."""


@attrs.frozen(kw_only=True)
class UsedFinding:
    """What the directions of a run's rounds so far hold, every round with a full core: what training them again could take."""

    captured: float
    """Of the gradient of all that was heard."""
    held_out: float
    """Of one half's; mean of both. The directions were found before, so that both halves are alike to them."""
    agreement: float
    """The cosine of the two halves' gradients inside these directions: below 0, a step that helps the one harms the other."""


@attrs.frozen(kw_only=True)
class SiteFinding:
    """One weight."""

    name: str
    shape: tuple[int, int]
    energy: float
    """`||G||_F^2`."""
    error: float
    """Its standard error; 0 where it is exact."""
    share: float
    """Of the energy of all sites."""


@attrs.frozen(kw_only=True)
class Findings:
    """A look, whole."""

    name: str
    spec_sha256: str
    moment: str
    """Which model was looked at: `the base model`, or `NAME after round N`."""
    number: int
    """The round that would be played next."""
    rank: int
    rounds: int
    """The spec's."""
    fresh: int
    """Of these, those that take new directions."""
    looked: int
    """Rounds ahead that were looked at, all of new directions."""
    adapter: str
    framed: bool
    """Whether the spec's adapter trains inside frames; if not, `adapter` cores are absent."""
    objective: str
    rewarded: bool
    """Whether the gradient is that of freshly sampled answers."""
    own_basis: str
    """The spec's, which is not among `bases` where its directions are used up."""
    sampler: str
    batch_size: int
    steps: int | None
    """The optimiser's, a round; None where it has no such option."""
    refit_every: int
    """The spec's `boosting.refit_every`."""
    train: int
    failures: int
    chosen: int
    heard: int
    """Different examples that the gradient is of."""
    energy: float
    """`sum_sites ||G||_F^2`."""
    error: float
    """Standard error of the energy; 0 where every site is exact."""
    agreement: float
    """`<G_1, G_2> / (||G_1|| ||G_2||)` of the two halves: 1 where the gradient is no matter of which examples are heard."""
    leading: dict[int, float]
    """By rank: what the leading directions of every site's gradient hold, the most that so many could."""
    expected_random: float
    """What r random directions on either side hold on average: `r^2 / (d_out d_in)` of a site."""
    sites: tuple[SiteFinding, ...]
    """Largest energy first."""
    bases: tuple[BasisFinding, ...]
    """Largest held-out share of the next round first."""
    used: UsedFinding | None = None
    """Of the run's rounds so far; None before the first."""
    notes: tuple[str, ...] = ()

    @property
    def core(self) -> Core:
        """The core by which bases are compared: the adapter's own where it has frames."""
        return "adapter" if self.framed else "square"

    @property
    def own(self) -> BasisFinding | None:
        """What the spec's basis captures; None where its directions are used up."""
        return next((basis for basis in self.bases if basis.own), None)

    @property
    def played(self) -> int:
        """Rounds of the run so far; 0 at the base."""
        return self.number - 1

    @property
    def left(self) -> int:
        """Rounds of the spec that are still to be played."""
        return max(0, self.rounds - self.played)

    def basis(self, name: str) -> BasisFinding | None:
        """A basis by name."""
        return next((basis for basis in self.bases if basis.name == name), None)

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {**attrs.asdict(self), "leading": {str(rank): share for rank, share in self.leading.items()}}
