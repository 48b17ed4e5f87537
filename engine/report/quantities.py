"""What the numbers of a report are: their titles, what they mean, and how they are set in type."""

from __future__ import annotations

import re

import attrs

from ..analysis import formats as wording
from ..analysis.model import Axis

MINUS, MISSING = "\N{MINUS SIGN}", "\N{EN DASH}"

APART = re.compile(
    r"(?<=\d) (?=(?:%|points?|nats?|MiB|s)(?![\w%]))|(?<=\bp) (?=[=<≤] ?\d)|(?<=\bp [=<≤]) (?=\d)"
)
"""The spaces of `95 %`, `200 points` and `p = 0.03`."""


@attrs.frozen
class Quantity:
    """A quantity that a report tables or draws."""

    title: str
    meaning: str


QUANTITIES: dict[str, Quantity] = {
    "test.accuracy": Quantity("Test accuracy", "share of the test examples that are right"),
    "test.loss": Quantity("Test loss", "mean loss on the test split"),
    "validation.accuracy": Quantity("Validation accuracy", "share of the validation examples that are right"),
    "validation.loss": Quantity("Validation loss", "mean loss on the validation split"),
    "train.accuracy": Quantity("Training accuracy", "share of the training examples that are right"),
    "train.loss": Quantity("Training loss", "mean loss on the training split"),
    "rank": Quantity("Rank", "numerical rank of everything merged so far"),
    "effective_rank": Quantity("Effective rank", "entropy effective rank of everything merged so far"),
    "overlap": Quantity("Overlap", "largest cosine between the directions of any two rounds so far"),
    "lost": Quantity("Lost", "share of the training examples right before a round that it breaks"),
    "gained": Quantity("Gained", "share of the training examples wrong before a round that it puts right"),
    "failures": Quantity("Failures", "training examples that are wrong before a round"),
    "parameters": Quantity("Numbers trained", "parameters trained, over all merged rounds"),
    "stored": Quantity(
        "Numbers stored",
        "numbers to be kept to make the model again: those trained, and frames that came from data",
    ),
    "rounds": Quantity("Rounds", "rounds that were played"),
    "steps": Quantity("Steps", "optimiser steps"),
    "examples": Quantity("Examples drawn", "examples in batches, each as often as it was drawn"),
    "seconds": Quantity("Time", "time that the rounds took"),
    "memory_bytes": Quantity("Peak memory", "largest memory of the process"),
}

AXES: dict[Axis, str] = {
    "round": "Round",
    "rank": "Cumulative rank",
    "parameters": "Numbers trained so far",
    "steps": "Optimiser steps",
    "seconds": "Seconds so far",
}


MEASURES: dict[str, Quantity] = {
    "auroc": Quantity("AUROC", "area under the receiver operating characteristic"),
    "auprc": Quantity("AUPRC", "average precision: the area under precision against recall"),
    "mcc": Quantity("MCC", "Matthews' correlation of predictions and labels"),
    "balanced_accuracy": Quantity("balanced accuracy", "mean over classes of the share that is right"),
    "f1": Quantity("F1", "harmonic mean of precision and recall of the second class"),
    "macro_f1": Quantity("macro F1", "mean over classes of the harmonic mean of precision and recall"),
}
"""What tasks measure beside accuracy and loss, without the split."""

SPLIT_TITLES = {"test": "Test", "validation": "Validation", "train": "Training"}


def quantity(name: str) -> Quantity:
    """What is known of a quantity; one that is not known goes by its own name."""
    known = QUANTITIES.get(name.removeprefix("base.")) or _measure(name.removeprefix("base."))
    if known is None:
        return Quantity(name.replace("_", " ").replace(".", " ").capitalize(), name)
    if name.startswith("base."):
        return Quantity(f"{known.title} before", f"{known.meaning}, before boosting")
    return known


def in_sentence(name: str) -> str:
    """The title within a sentence: `test accuracy`, `test AUROC`."""
    title = quantity(name).title
    return title[:1].lower() + title[1:]


def _measure(name: str) -> Quantity | None:
    """A measure of a split: `test.auroc`, `test.pass_4`, `test.timed_out`; None for any other name."""
    split, _, measure = name.rpartition(".")
    if split not in SPLIT_TITLES:
        return None
    plain = measure.replace("pass_", "pass@").replace("_", " ")
    known = MEASURES.get(measure, Quantity(plain, plain))
    on = "training" if split == "train" else split
    return Quantity(f"{SPLIT_TITLES[split]} {known.title}", f"{known.meaning}, on the {on} split")


def titled(name: str) -> str:
    """The title with its unit, which stays with the last word: `Test accuracy, %`."""
    unit = wording.unit_of(name)
    return f"{quantity(name).title},\N{NO-BREAK SPACE}{unit}" if unit else quantity(name).title


def together(text: str) -> str:
    """A text whose numbers stay on one line with their units."""
    return APART.sub("\N{NO-BREAK SPACE}", text)


def set_in_type(text: str) -> str:
    """A number of `wording` as a page prints it: a real minus, and a dash where there is no number."""
    return MISSING if text == wording.MISSING else text.replace("-", MINUS)


def written(name: str, value: float | None) -> str:
    """A value of a quantity, its unit left to the title."""
    return set_in_type(wording.number_text(value, name))


def with_unit(name: str, value: float | None) -> str:
    """A value with its unit, for sentences and where there is no title: `74.4 %`, `0.808 nats`."""
    text = written(name, value)
    return f"{text} {wording.unit_of(name)}".rstrip() if text != MISSING else text


def signed(name: str, value: float) -> str:
    """A difference with its sign, in points for shares."""
    return set_in_type(wording.signed_text(value, name))


def interval(name: str, low: float | None, high: float | None, *, sign: bool = False) -> str:
    """`[low, high]`; empty where there is no interval, or none that is wider than what is shown."""
    if low is None or high is None:
        return ""
    ends = [signed(name, end) if sign else written(name, end) for end in (low, high)]
    return "" if ends[0] == ends[1] or MISSING in ends else f"[{ends[0]}, {ends[1]}]"
