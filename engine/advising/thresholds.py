"""When a difference between numbers is large enough to act upon."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Thresholds:
    """When a difference is large enough to act upon."""

    informed_gain: float = 2.0
    """A basis that hears the data must hold so many times as much held out as the best that does not; it costs passes."""
    generalises: float = 0.5
    """And so much of what it holds of the half that it heard must survive on the other half."""
    plain_gain: float = 1.5
    """A basis that hears nothing must hold so many times as much as the spec's own, if that hears nothing either."""
    worth: float = 0.01
    """Less than this share of the energy is not worth changing a basis that hears nothing for another."""
    alike: float = 0.05
    """Bases within this share of the best are equals; the one with the spec's name, or else the first by name, is taken."""
    diagonal: float = 0.7
    """A diagonal core must hold this share of what an r x r core holds in the same frame."""
    own_core: float = 0.9
    """The spec's own adapter is kept where it holds so much of what an r x r core holds."""
    enough: float = 0.5
    """Of what the sketch's leading directions hold, what a round's should."""
    sites: float = 0.9
    """The energy that the sites kept should have."""
    few_sites: float = 0.5
    """Sites are chosen where at most this share of them has that."""
    one_shot_gain: float = 1.25
    """A single core of as many numbers must hold so many times as much held out as all rounds together."""
    used_gain: float = 2.0
    """Directions of earlier rounds that hold so many times as much as those ahead are worth training again."""
    noisy: float = 0.5
    """Halves whose gradients have a smaller cosine agree poorly."""
    few_failures: float = 0.05
    """A share of wrong training examples below which failures alone are soon used up."""


DEFAULT = Thresholds()
