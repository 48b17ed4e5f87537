"""Quantities of a report: titles, meanings, and number formats."""

from __future__ import annotations

import re

import attrs

from ..analysis import formats
from ..analysis.model import Axis

MINUS, MISSING = "\N{MINUS SIGN}", "\N{EN DASH}"

UNIT_SPACE = re.compile(
    r"(?<=\d) (?=(?:%|points?|nats?|MiB|s)(?![\w%]))|(?<=\bp) (?=[=<≤] ?\d)|(?<=\bp [=<≤]) (?=\d)"
)
"""The spaces of `95 %`, `200 points` and `p = 0.03`."""


@attrs.frozen
class Quantity:
    """A quantity of a table or figure."""

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
    "lost": Quantity("Lost", "share of the training examples right before a round that are wrong after it"),
    "gained": Quantity(
        "Gained", "share of the training examples wrong before a round that are right after it"
    ),
    "failures": Quantity("Failures", "training examples that are wrong before a round"),
    "parameters": Quantity("Trained parameters", "parameters trained, over all merged rounds"),
    "stored": Quantity(
        "Stored parameters",
        "parameters needed to rebuild the model: trained ones, and data-driven frames",
    ),
    "rounds": Quantity("Rounds", "rounds run"),
    "steps": Quantity("Steps", "optimiser steps"),
    "examples": Quantity("Examples drawn", "examples in batches, counted with repetition"),
    "seconds": Quantity("Time", "time of the rounds"),
    "memory_bytes": Quantity("Peak memory", "peak memory of the process"),
}

AXES: dict[Axis, str] = {
    "round": "Round",
    "rank": "Cumulative rank",
    "parameters": "Trained parameters so far",
    "steps": "Optimiser steps",
    "seconds": "Seconds so far",
}


MEASURES: dict[str, Quantity] = {
    "auroc": Quantity("AUROC", "area under the receiver operating characteristic"),
    "auprc": Quantity("AUPRC", "average precision: the area under precision against recall"),
    "mcc": Quantity("MCC", "Matthews' correlation of predictions and labels"),
    "balanced_accuracy": Quantity("balanced accuracy", "mean over classes of the share that is right"),
    "f1": Quantity("F1", "harmonic mean of precision and recall of the second class"),
    "rmse": Quantity("RMSE", "root mean squared error, in the target's units"),
    "mae": Quantity("MAE", "mean absolute error, in the target's units"),
    "r2": Quantity("R²", "share of the target's variance that is predicted"),
    "macro_f1": Quantity("macro F1", "mean over classes of the harmonic mean of precision and recall"),
}
"""Measures of tasks besides accuracy and loss, without the split."""

SPLIT_TITLES = {"test": "Test", "validation": "Validation", "train": "Training"}


def quantity(name: str) -> Quantity:
    """Title and meaning of a quantity; an unknown one uses its own name."""
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


def title_with_unit(name: str) -> str:
    """The title with its unit, without a line break before it: `Test accuracy, %`."""
    unit = formats.unit_of(name)
    return f"{quantity(name).title},\N{NO-BREAK SPACE}{unit}" if unit else quantity(name).title


def no_break(text: str) -> str:
    """A text without line breaks between numbers and their units."""
    return UNIT_SPACE.sub("\N{NO-BREAK SPACE}", text)


def typeset(text: str) -> str:
    """A formatted number in typographic form: a minus sign, and a dash for a missing value."""
    return MISSING if text == formats.MISSING else text.replace("-", MINUS)


def format_value(name: str, value: float | None) -> str:
    """A value of a quantity without its unit, which is in the title."""
    return typeset(formats.number_text(value, name))


def with_unit(name: str, value: float | None) -> str:
    """A value with its unit, for sentences: `74.4 %`, `0.808 nats`."""
    text = format_value(name, value)
    return f"{text} {formats.unit_of(name)}".rstrip() if text != MISSING else text


def format_signed(name: str, value: float) -> str:
    """A difference with its sign, in points for shares."""
    return typeset(formats.signed_text(value, name))


def interval(name: str, low: float | None, high: float | None, *, sign: bool = False) -> str:
    """`[low, high]`; empty without an interval, or if both ends print the same."""
    if low is None or high is None:
        return ""
    ends = [format_signed(name, end) if sign else format_value(name, end) for end in (low, high)]
    return "" if ends[0] == ends[1] or MISSING in ends else f"[{ends[0]}, {ends[1]}]"
