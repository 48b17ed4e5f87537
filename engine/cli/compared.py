"""A comparison of two runs as people read it."""

from __future__ import annotations

import math
from typing import Any

from ..analysis.comparison.compare import Comparison, accuracy_sentence, loss_sentence, verdict
from ..analysis.comparison.examples import Answer, ComparedExample
from ..analysis.formats import number_text, unit_of
from ..contracts import Outcome
from ..foundation.options import shortened
from .console import Console

ASKED, ANSWERED = 150, 60
"""Characters of a prompt and of an answer that are shown."""
MOST_KEYS = 8
"""Differing keys that are shown; all are in `--json`."""

INDENT = " " * 6

Row = tuple[str, ...]


def print_comparison(found: Comparison) -> None:
    """Print it: what is compared, figures, verdict, what was gained and lost, examples."""
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    for line in head(found):
        console.print(line, markup=False)
    for warning in found.warnings:
        console.print(f"warning: {warning}", style="yellow", markup=False)
    console.print()
    for block in (figures(found), table(found), differences(found), changes(found)):
        for line in block:
            console.print(line, markup=False)
        console.print()
    console.print(f"verdict: {verdict(found)}", style="bold", markup=False)
    for line in caveat(found):
        console.print(line, markup=False)
    for name, ids, shown in (
        ("A", found.pairing.only_a, found.only_a),
        ("B", found.pairing.only_b, found.only_b),
    ):
        for line in examples(name, len(ids), shown):
            console.print(line, markup=False)
    for note in found.notes:
        console.print(f"\nnote: {note}", style="yellow", markup=False)


def head(found: Comparison) -> list[str]:
    """Which runs and rounds, what differs between their specs, on which examples."""
    titles = [side.title for side in (found.a, found.b)]
    width = max(map(len, titles))
    lines = [
        f"{name}  {title.ljust(width)}  {side.round_text}"
        for name, title, side in zip("AB", titles, (found.a, found.b), strict=True)
    ]
    lines += _spec_lines(found)
    data = {True: "the same data", False: "DIFFERENT DATA", None: "data not recorded"}[found.same_data]
    base = {True: "the same base weights", False: "other base weights", None: "base weights not recorded"}
    on = f"{len(found.pairing):,} {found.a.split} example{'s' * (len(found.pairing) != 1)}"
    return [*lines, f"on {on}; {data}, {base[found.same_weights]}"]


def _spec_lines(found: Comparison) -> list[str]:
    if found.same_run:
        return ["two rounds of one run" if found.a.round != found.b.round else "one round of one run, twice"]
    if not found.specs:
        return ["their specs say the same"]
    shown = list(found.specs.items())[:MOST_KEYS]
    parts = [f"{key} ({_value(one)}, {_value(two)})" for key, (one, two) in shown]
    more = len(found.specs) - len(shown)
    return [f"they differ in {', '.join(parts)}" + (f", and {more} more" if more else "")]


def _value(value: Any) -> str:
    """A value as a spec has it, a path by its last part."""
    text = value.rsplit("/", 1)[-1] if isinstance(value, str) and value.startswith("/") else str(value)
    return shortened(text.lower() if isinstance(value, bool) else text, ANSWERED)


def figures(found: Comparison) -> list[str]:
    """Accuracy, loss and the task's own measures, of the base or bases, A and B."""
    pairing = found.pairing
    columns = {"base": pairing.a_base, "A": pairing.a, "B": pairing.b}
    if not _alike(pairing.a_base, pairing.b_base):
        columns = {"base of A": pairing.a_base, "A": pairing.a, "base of B": pairing.b_base, "B": pairing.b}
    names = dict.fromkeys(name for outcome in columns.values() for name in outcome.measures)
    rows: list[Row] = [("", *columns)]
    rows.append(_row("accuracy", [outcome.accuracy for outcome in columns.values()]))
    rows.append(_row("loss", [outcome.mean_loss for outcome in columns.values()]))
    rows += [_row(name, [outcome.measures.get(name) for outcome in columns.values()]) for name in names]
    if names and not pairing.is_whole:
        return [*_laid_out(rows), f"({', '.join(names)}: of each run's whole split)"]
    return _laid_out(rows)


def _alike(a: Outcome, b: Outcome) -> bool:
    """Whether two bases need one column: they are right on the same examples, and their figures look the same."""
    texts = [
        (number_text(one.mean_loss, "loss"), {k: number_text(v, k) for k, v in one.measures.items()})
        for one in (a, b)
    ]
    return bool((a.correct == b.correct).all()) and texts[0] == texts[1]


def _row(name: str, values: list[float | None]) -> Row:
    unit = unit_of(name)
    return (f"{name} ({unit})" if unit else name, *(number_text(value, name) for value in values))


def table(found: Comparison) -> list[str]:
    """Right and wrong on both sides."""
    paired = found.accuracy
    return _laid_out(
        [
            ("", "B right", "B wrong"),
            ("A right", f"{paired.both:,}", f"{paired.only_first:,}"),
            ("A wrong", f"{paired.only_second:,}", f"{paired.neither:,}"),
        ]
    )


def differences(found: Comparison) -> list[str]:
    """A minus B, with intervals."""
    share = f"{100 * found.confidence:g} % interval"
    loss = loss_sentence(found)
    lines = [f"accuracy, A - B   {accuracy_sentence(found)} (exact McNemar test; {share})"]
    return [*lines, f"loss, A - B       {loss}"] if loss else lines


def changes(found: Comparison) -> list[str]:
    """What each side gained and lost, against its own base."""
    gained, lost = found.effects.gained, found.effects.lost
    rows: list[Row] = [("against the base", "by both", "by A alone", "by B alone")]
    for name, effect in (("gained (was wrong, is right)", gained), ("lost (was right, is wrong)", lost)):
        rows.append((name, *(f"{len(ids):,}" for ids in (effect.both, effect.only_a, effect.only_b))))
    return _laid_out(rows)


def caveat(found: Comparison) -> list[str]:
    """How far the verdict reaches, where it could be mistaken for one on settings."""
    if found.same_run or found.same_model or not found.specs:
        return []
    return ["(on these two models; whether their settings differ takes several seeds: boostlora ablate)"]


def examples(name: str, total: int, shown: tuple[ComparedExample, ...]) -> list[str]:
    """Those that one side alone gets right, two lines each where there is a text."""
    if not shown:
        return []
    which = "" if len(shown) == total else f"; {len(shown)} with the largest difference in loss"
    lines = ["", f"only {name} is right: {total:,}{which}"]
    width = max(len(str(one.id)) for one in shown)
    for one in shown:
        start = f"  {one.id:>{width}}  "
        expected = "" if one.expected is None else f"expected {_text(one.expected, ANSWERED)} · "
        answers = f"{expected}A {_answer(one.a)} · B {_answer(one.b)}"
        if one.asked is None:
            lines.append(start + answers)
        else:
            lines += [start + _text(one.asked, ASKED), INDENT + answers]
    return lines


def _answer(answer: Answer) -> str:
    said = ("right" if answer.correct else "wrong") if answer.text is None else _text(answer.text, ANSWERED)
    loss = f"loss {number_text(answer.loss, 'loss')}" if math.isfinite(answer.loss) else f"loss {answer.loss}"
    rewarded = f", reward {answer.reward:.2f} over {answer.samples}" if answer.samples > 1 else ""
    return f"{said} ({loss}{rewarded})"


def _text(text: str, most: int) -> str:
    """A text on one line, its middle left out where it is long: a question and an answer are told by beginning and end."""
    text = " ".join(text.split())
    if len(text) > most:
        text = f"{text[: most // 2]} … {text[-(most // 2 - 3) :]}"
    return shortened(text, len(text)) or '""'


def _laid_out(rows: list[Row]) -> list[str]:
    """Cells under each other, the first column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("   ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows)
    return [line.rstrip() for line in lines]
