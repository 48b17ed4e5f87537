"""Thresholds of the advice."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Thresholds:
    """Differences that are large enough to act upon.

    They agree with the shipped studies (`studies.py`), which cover few tasks; `benchmarks/advice_backtest.py` tests them on others.
    No study covers advice during a run.
    """

    data_driven_gain: float = 2.0
    """Required ratio of held-out shares of a data-driven basis and the best data-free one, since it costs passes."""
    generalises: float = 0.1
    """Required ratio of its shares on the held-out and the calibration half.

    Set by hand, from a few runs of `paper/digits` that continued with gradient frames; no shipped study covers it.
    """
    alike: float = 0.05
    """Bases within this share of the best count as equal; the spec's is preferred, then the first by name."""
    diagonal: float = 0.7
    """A spec's diagonal core is kept if it captures this share of what an r x r core captures in the same frame."""
    own_core: float = 0.9
    """The same for any other core of the spec."""
    enough: float = 0.5
    """Share of the sketch's energy that a round's directions should capture."""
    sites: float = 0.9
    """Share of the energy that selected sites should have."""
    few_sites: float = 0.5
    """Sites are selected only if at most this share of them suffices."""
    one_shot_gain: float = 1.25
    """Required ratio of held-out shares of a single core and all rounds together, with equal parameters."""
    few_examples: int = 100
    """Number of training examples up to which the hardest share is too small, as in the one study with sixty."""
    few_rounds: int = 4
    """Few rounds: best for objectives with rewards, and the smallest number with which refits were tried."""
    long_run: int = 8
    """From this number of rounds on, refits come after every fourth round, as in the runs of 16; below, after every second, as in runs of 4."""
    used_gain: float = 2.0
    """Ratio of the shares of used and next directions from which a refit is advised.

    Set by hand, from runs of `paper/digits` that continued (`[start]`) with a refit or new directions; no shipped study covers
    it. The cosine of the halves within used directions did not predict a refit's gain there, so it is reported but not used.
    """
    noisy: float = 0.5
    """Cosine of the halves' gradients below which the sample is noisy."""
    few_failures: float = 0.05
    """Share of wrong training examples below which failures run out soon."""


DEFAULT = Thresholds()
