"""Answers to a sample in few lines: consecutive rounds with the same answer, and the same judgement, are one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import attrs

from ..runs.samples import Kind, SampleAnswer
from .formats import MISSING

PROBABILITY: dict[Kind, str] = {
    "class": "p of the label",
    "text": "p of the reference, per token",
    "completion": "p of the reference, per token",
}
"""What the probability of an answer is, by the kind of answers."""
EXPECTED: dict[Kind, str] = {
    "class": "label",
    "value": "value",
    "text": "reference",
    "completion": "reference",
}
"""What an answer is judged by."""


@attrs.frozen(kw_only=True)
class AnswerSpan:
    """Consecutive rounds with the same answer; of values, with the same judgement."""

    answers: tuple[SampleAnswer, ...]

    @property
    def rounds(self) -> str:
        """`3`, or `3-7`."""
        first, last = self.answers[0].round, self.answers[-1].round
        return str(first) if first == last else f"{first}-{last}"

    @property
    def answer(self) -> str:
        """The answer, or of a span of values the first and the last."""
        return _change([answer.answer or MISSING for answer in self.answers])

    @property
    def judgement(self) -> str:
        """`right`, `wrong`, or how many of several answers to one example are right, with a verdict where there is one."""
        last = self.answers[-1]
        word = "right" if last.right else "wrong"
        if last.answers and last.reward is not None:
            word += f" ({100 * last.reward:.0f} % of {len(last.answers)} right)"
        verdict = last.verdicts[0] if last.verdicts else ""
        return f"{word}: {verdict}" if verdict and verdict not in {"right", "wrong"} else word

    @property
    def probability(self) -> str:
        """That of the label or the reference in the first and the last round; `-` where it is unknown."""
        return _change([_share(answer.probability) for answer in self.answers])


def spans_of(kind: Kind, answers: Sequence[SampleAnswer]) -> list[AnswerSpan]:
    """The answers to one sample, by spans of rounds."""

    def key(answer: SampleAnswer) -> tuple[object, ...]:
        same = () if kind == "value" else (answer.answer, answer.answers, answer.verdicts)
        return (answer.right, *same)

    return [AnswerSpan(answers=tuple(group)) for _, group in groupby(answers, key)]


def _change(texts: Sequence[str]) -> str:
    return texts[0] if texts[0] == texts[-1] else f"{texts[0]} -> {texts[-1]}"


def _share(probability: float | None) -> str:
    return MISSING if probability is None else f"{probability:.3f}"
