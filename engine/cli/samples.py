"""A run's fixed samples with the answers after every round, as lines of text."""

from __future__ import annotations

from collections.abc import Sequence

from ..analysis.answer_spans import EXPECTED, PROBABILITY, spans_of
from ..errors import UsageError
from ..foundation.markup import printable
from ..runs.directory import RunDirectory
from ..runs.samples import SampleAnswer, Samples
from .layout import aligned, cut, line_width

LONGEST = 78
"""Most characters of an input, of a label, and of the line of an answer."""


def samples_of(directory: RunDirectory) -> tuple[Samples, list[list[SampleAnswer]]]:
    """The samples of a run and their answers. Raises `UsageError` for a run without rounds or samples."""
    samples = directory.samples()
    if samples is None:
        raise UsageError(
            f"{directory.path}: no samples were kept when it started: it was run by a version without them; run it again with --fresh"
        )
    if not directory.records:
        raise UsageError(f"{directory.path}: no round has finished; --samples needs one")
    return samples, directory.sample_answers(samples)


def sample_lines(samples: Samples, answers: Sequence[Sequence[SampleAnswer]]) -> list[str]:
    """Every sample with its label, and a line for each span of rounds with the same answer."""
    count = len(samples.samples)
    what = "example" if count == 1 else "examples"
    lines = [f"{count} fixed {samples.split} {what}; round 0 is the base model"]
    if "per token" in PROBABILITY.get(samples.kind, ""):
        lines[0] += "; p is per token"
    for number, (sample, found) in enumerate(zip(samples.samples, answers, strict=True), 1):
        lines += ["", _cut(f"{number}. {sample.line}")]
        if sample.expected:
            lines.append(_cut(f"{EXPECTED.get(samples.kind, 'expected')}: {sample.expected}", 3))
        lines += [f"   {line}" for line in _table(samples, found)]
    return lines


def _table(samples: Samples, answers: Sequence[SampleAnswer]) -> list[str]:
    spans = spans_of(samples.kind, answers)
    title = PROBABILITY.get(samples.kind)
    columns = [["round", *(span.rounds for span in spans)]]
    if title:
        columns.append([title.partition(",")[0], *(span.probability for span in spans)])
    columns.append(["judged", *(span.judgement for span in spans)])
    if samples.kind != "completion":
        room = max(24, _width() - 3 - sum(max(map(len, column)) + 2 for column in columns))
        answered = ["answer", *(cut(printable(span.answer), room) for span in spans)]
        columns.append(answered)
    left = range(len(columns) - 2 + (samples.kind == "completion"), len(columns))
    return aligned(list(zip(*columns, strict=True)), left, gap=2)


def _width() -> int:
    return min(line_width(), LONGEST)


def _cut(text: str, indent: int = 0) -> str:
    return " " * indent + cut(printable(text), _width() - indent)
