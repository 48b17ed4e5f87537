"""What a comparison comes to, in plain words."""

from __future__ import annotations

from ..formats import change_text, count_text, number_text, p_sentence
from .compare import Comparison

ALPHA = 0.05
"""Below this p a difference in accuracy is called one."""


def verdict(found: Comparison) -> str:
    """A sentence on accuracy by the exact McNemar test, and one on the loss where its interval leaves out 0."""
    if found.same_model:
        return "A and B are the same model: the same round of the same experiment"
    paired, examples = found.accuracy, count_text(found.accuracy.examples, "example")
    lower = _lower_loss(found)
    loss = f"; the loss of {lower} is lower" if lower else ""
    if paired.only_first + paired.only_second == 0:
        return f"A and B are right on the same of {examples}{loss}"
    if paired.p >= ALPHA:
        return f"no difference in accuracy that {examples} could tell ({p_sentence(paired.p)}){loss}"
    better = "A" if paired.difference > 0 else "B"
    points = number_text(abs(paired.difference), "accuracy")
    if lower and lower != better:
        loss = f", though the loss of {lower} is lower"
    return f"{better} is right more often, by {points} points ({p_sentence(paired.p)}){loss}"


def _lower_loss(found: Comparison) -> str:
    """The side whose loss is lower, by the interval of the difference; empty where it does not tell."""
    loss = found.loss
    if loss is None or loss.interval is None or loss.interval[0] <= 0 <= loss.interval[1]:
        return ""
    return "A" if loss.mean < 0 else "B"


def accuracy_sentence(found: Comparison) -> str:
    """`+25.5 points [21.3, 29.6], p < 0.001`."""
    paired = found.accuracy
    low, high = paired.interval if paired.interval is not None else (None, None)
    return f"{change_text(paired.difference, low, high, 'accuracy')}, {p_sentence(paired.p)}"


def loss_sentence(found: Comparison) -> str:
    """`-1.120 nats [-1.301, -0.952]`, and over how many examples where it is not all of them; empty where there is none."""
    loss = found.loss
    if loss is None:
        return ""
    low, high = loss.interval if loss.interval is not None else (None, None)
    some = (
        "" if loss.examples == len(found.pairing) else f", over the {loss.examples:,} where both are finite"
    )
    return change_text(loss.mean, low, high, "loss") + some
