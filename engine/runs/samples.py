"""Three fixed validation examples of a run, `samples.json`, and what the model answers to them after every round.

The file holds the examples alone and is written once, when the run starts. The answers are read from the outcomes of the rounds, which hold
those to every example: nothing is computed a second time, and a resumed or rolled back run has the samples of its rounds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs
import cattrs
import numpy as np

from ..contracts import Outcome
from ..errors import RunError
from ..foundation.sealed import read_sealed, write_sealed

SAMPLES = "samples.json"
SPLIT = "validation"
COUNT = 3
"""Examples that a run keeps, or fewer where the split is smaller."""

Kind = Literal["class", "value", "text", "completion", "other"]
"""What answers are: a class, a value, a generated text, or the probability of a reference completion; "other" is an id of the answer."""


@attrs.frozen(kw_only=True)
class Sample:
    """One example, as people read it."""

    id: int
    """The example's id in the split."""
    input: dict[str, str]
    """What the model gets: the prompt, the texts, or the columns of a row, by name."""
    expected: str
    """The label, the value in the target's units, or the reference completion; empty where the answers are of another kind."""

    @property
    def line(self) -> str:
        """The input on one line: a prompt or a text itself, columns with their names."""
        if len(self.input) == 1 and not self.input.keys().isdisjoint({"prompt", "text"}):
            return " ".join(next(iter(self.input.values())).split())
        return ", ".join(f"{name} {' '.join(text.split())}" for name, text in self.input.items())


@attrs.frozen(kw_only=True)
class Samples:
    """The examples of a run."""

    kind: Kind
    classes: tuple[str, ...] = ()
    """Names of the classes."""
    samples: tuple[Sample, ...]
    split: str = SPLIT

    def write(self, folder: Path) -> None:
        """Write `samples.json`, sealed."""
        write_sealed(folder / SAMPLES, attrs.asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Samples | None:
        """The samples of a run; None for one of a version without them. Raises `RunError` for a damaged file."""
        found = read_sealed(folder / SAMPLES, ("kind", "samples", "split"))
        if found is None:
            return None
        try:
            return cattrs.structure(found, cls)
        except (cattrs.BaseValidationError, TypeError, ValueError) as error:
            raise RunError(f"{folder / SAMPLES}: damaged: {error}") from error


@attrs.frozen(kw_only=True)
class SampleAnswer:
    """What the model answers to one sample after a round."""

    round: int
    status: str
    """How the round ended; the answers after a refused round are those before it."""
    answer: str | None
    """The class, the value, or the generated text; None for the likelihood of a completion."""
    right: bool
    """As the task judges it."""
    probability: float | None
    """That of the label, or per token of the reference completion (geometric mean); None for values and other answers."""
    loss: float | None
    reward: float | None
    value: float | None = None
    """The predicted value of a regression."""
    answers: tuple[str, ...] = ()
    """All generated texts, where there are several for an example."""
    verdicts: tuple[str, ...] = ()
    """A label of every generated text, where the task gives any."""


def answers_of(
    samples: Samples, rounds: Sequence[tuple[int, str, Mapping[str, Outcome]]]
) -> list[list[SampleAnswer]]:
    """The answers to every sample, by round; a round is its number, its status and its outcomes.

    A sample that the task leaves out of its outcomes has no answers.
    """
    return [list(_answers(samples, sample, rounds)) for sample in samples.samples]


def _answers(
    samples: Samples, sample: Sample, rounds: Sequence[tuple[int, str, Mapping[str, Outcome]]]
) -> Iterator[SampleAnswer]:
    for number, status, outcomes in rounds:
        outcome = outcomes[samples.split]
        places = np.flatnonzero(outcome.ids == sample.id)
        if len(places):
            yield _answer(samples, outcome, int(places[0]), number, status)


def _answer(samples: Samples, outcome: Outcome, place: int, number: int, status: str) -> SampleAnswer:
    kind, loss = samples.kind, float(outcome.loss[place])
    texts, verdicts = (_own(outcome, found, place) for found in (outcome.texts, outcome.verdicts))
    value = float(outcome.prediction[place : place + 1].view(np.float64)[0]) if kind == "value" else None
    known = kind in {"class", "text", "completion"} and math.isfinite(loss)
    return SampleAnswer(
        round=number,
        status=status,
        answer=_text(samples, int(outcome.prediction[place]), value, texts),
        right=bool(outcome.correct[place]),
        probability=math.exp(-max(loss, 0.0)) if known else None,
        loss=_finite(loss),
        reward=_finite(float(outcome.reward[place])),
        value=None if value is None else _finite(value),
        answers=texts if len(texts) > 1 else (),
        verdicts=verdicts,
    )


def _own(outcome: Outcome, texts: tuple[str, ...] | None, place: int) -> tuple[str, ...]:
    """The texts of one example, of k for each."""
    each = len(texts or ()) // len(outcome)
    return (texts or ())[place * each : (place + 1) * each]


def _text(samples: Samples, prediction: int, value: float | None, texts: tuple[str, ...]) -> str | None:
    if texts:
        return texts[0]
    match samples.kind:
        case "value":
            return f"{value:.6g}"
        case "class" if 0 <= prediction < len(samples.classes):
            return samples.classes[prediction]
        case "completion":
            return None
        case _:
            return str(prediction)


def _finite(value: float) -> float | None:
    """JSON has no NaN and no infinity."""
    return value if math.isfinite(value) else None


def as_json(samples: Samples, answers: Sequence[Sequence[SampleAnswer]]) -> dict[str, Any]:
    """Samples with their answers, as JSON types."""
    return {
        "split": samples.split,
        "kind": samples.kind,
        "samples": [
            {**attrs.asdict(sample), "rounds": [attrs.asdict(answer) for answer in found]}
            for sample, found in zip(samples.samples, answers, strict=True)
        ],
    }
