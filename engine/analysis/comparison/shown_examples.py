"""The examples on which two sides differ, with what was asked, what was expected, and what each answered."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from ...contracts import Outcome
from .contents import Contents
from .pairs import Ids, Pairing


@attrs.frozen(kw_only=True)
class Answer:
    """What a side made of an example."""

    correct: bool
    loss: float
    """In nats."""
    reward: float
    text: str | None
    """The class's name, or the first text that was written; None where neither is known."""
    samples: int
    """Texts that were written to the example."""


@attrs.frozen(kw_only=True)
class Shown:
    """One example; what was asked and expected is None where the data could not be loaded, or hold no text."""

    id: int
    asked: str | None
    expected: str | None
    a: Answer
    b: Answer


def show(
    pairing: Pairing, which: Ids, most: int, contents: Sequence[Contents | None] = (None, None)
) -> list[Shown]:
    """Up to `most` of the examples `which`, those with the largest difference in loss first; ties by id.

    A difference that is not finite counts as the largest, one that is not a number as none. `contents` are those of A and of B.
    """
    places = np.searchsorted(pairing.ids, which)
    with np.errstate(invalid="ignore"):
        apart = np.abs(pairing.a.loss[places] - pairing.b.loss[places])
    apart = np.where(np.isnan(apart), -1.0, apart)
    ranked = places[np.lexsort((which, -apart))][:most]
    return [_shown(pairing, int(place), contents) for place in ranked]


def _shown(pairing: Pairing, place: int, contents: Sequence[Contents | None]) -> Shown:
    number = int(pairing.ids[place])
    first, second = contents
    known = first if first is not None else second
    return Shown(
        id=number,
        asked=None if known is None else known.asked(number),
        expected=None if known is None else known.expected(number),
        a=_answer(pairing.a, place, first),
        b=_answer(pairing.b, place, second),
    )


def _answer(outcome: Outcome, place: int, contents: Contents | None) -> Answer:
    samples = 0 if outcome.texts is None else len(outcome.texts) // len(outcome)
    text = None
    if samples and outcome.texts is not None:
        text = outcome.texts[place * samples]
    elif contents is not None:
        text = contents.named(int(outcome.prediction[place]))
    return Answer(
        correct=bool(outcome.correct[place]),
        loss=float(outcome.loss[place]),
        reward=float(outcome.reward[place]),
        text=text,
        samples=samples,
    )
