"""When a difference between numbers is large enough to act upon."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Thresholds:
    """When a difference is large enough to act upon.

    They agree with the shipped studies (`studies.py`), which are of few tasks: `boostlora advise --against` holds them to others.
    """

    informed_gain: float = 2.0
    """A basis that hears the data must hold so many times as much held out as the best that does not; it costs passes."""
    generalises: float = 0.1
    """And so much of what it holds of the half that it heard must survive on the other half.

    Little will do: where runs of `paper/digits` with whole cores went on from rounds 5 and 12 with gradient frames, of which a fifth to
    three quarters survived, they ended 1 to 8 points above rotate (three seeds).
    """
    alike: float = 0.05
    """Bases within this share of the best are equals; the one with the spec's name, or else the first by name, is taken."""
    diagonal: float = 0.7
    """A spec's diagonal core is kept where it holds this share of what an r x r core holds in the same frame."""
    own_core: float = 0.9
    """Any other core of the spec's, where it holds so much."""
    enough: float = 0.5
    """Of what the sketch's leading directions hold, what a round's should."""
    sites: float = 0.9
    """The energy that the sites kept should have."""
    few_sites: float = 0.5
    """Sites are chosen where at most this share of them has that."""
    one_shot_gain: float = 1.25
    """A single core of as many numbers must hold so many times as much held out as all rounds together."""
    few_examples: int = 100
    """Training examples of which the hardest share is next to nobody: of sixty it was, in the one study that had so few."""
    few_rounds: int = 4
    """Rounds that are few: what objectives that learn from rewards do best with, and the fewest in which refits were tried."""
    long_run: int = 8
    """Rounds from which refits come after every fourth round, as they did in runs of 16; in shorter ones after every second, as in runs of 4."""
    used_gain: float = 2.0
    """Directions of earlier rounds that hold so many times as much as the next round's are worth a round of training again.

    In runs of `paper/digits`, with its cores and with whole ones, such a round after round 12, 14, 15 or 16 gained 4 to 18 points, where the
    next round of new directions lost 4 to gained 4 (24 runs of three seeds); the cosine of the halves inside used directions, from -0.1
    to 0.6, did not foretell how much, so it is told and nothing hangs on it. In gradient frames on the hardest, runs that went on with
    refits after 8 or 12 rounds ended 1 point higher on average and 0.2 lower at worst; after 4, seeds disagree (four seeds). The same
    first directions (`fixed`) ended below going on in 24 of 27 such runs, by up to 14 points.
    """
    noisy: float = 0.5
    """Halves whose gradients have a smaller cosine agree poorly."""
    few_failures: float = 0.05
    """A share of wrong training examples below which failures alone are soon used up."""


DEFAULT = Thresholds()
