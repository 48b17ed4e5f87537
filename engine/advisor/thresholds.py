"""When a difference between numbers is large enough to act upon."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Thresholds:
    """When a difference is large enough to act upon.

    They agree with the shipped studies (`studies.py`), which are of few tasks: `benchmarks/advice_backtest.py` compares them with others. What
    is said in the midst of a run no study holds.
    """

    data_driven_gain: float = 2.0
    """A basis that hears the data must hold so many times as much held out as the best that does not; it costs passes."""
    generalises: float = 0.1
    """And so much of what it holds of the half that it heard must survive on the other half.

    Little will do. Set by hand, by a few runs of `paper/digits` that went on with gradient frames; no shipped study holds it.
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

    Set by hand, by runs of `paper/digits` that went on from their midst (`[start]`) with a refit or with new directions; no shipped
    study holds it. There the cosine of the halves inside used directions did not foretell what a refit gains, so it is told and nothing
    hangs on it.
    """
    noisy: float = 0.5
    """Halves whose gradients have a smaller cosine agree poorly."""
    few_failures: float = 0.05
    """A share of wrong training examples below which failures alone are soon used up."""


DEFAULT = Thresholds()
