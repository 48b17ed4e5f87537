"""Metrics of a trial merge, and the refusal of a merge policy."""

from __future__ import annotations

from collections.abc import Callable

import attrs


@attrs.frozen(kw_only=True)
class Metrics:
    """A model on a split: `accuracy` in [0, 1], mean `loss` in nats, over `count` examples, and the task's further `measures`."""

    accuracy: float
    loss: float
    count: int
    measures: dict[str, float] = attrs.field(factory=dict)
    """By name, such as `auroc` or `timed_out`."""
    own: tuple[str, ...] = ()
    """Names of the measures that the task itself makes; the others are those of every task with such targets."""


@attrs.frozen
class Refusal:
    """A merge policy's refusal with its reason: the round's update is left out of the model."""

    reason: str


Trial = Callable[[float], Metrics]
"""`trial(scale)`: validation metrics of the model with `scale` times the round's update; `trial(0.0)` is without it."""
