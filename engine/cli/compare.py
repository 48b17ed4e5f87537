"""`boostlora compare`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..analysis.formats import number_text, unit_of
from ..foundation.counts import count_text
from ..foundation.options import shortened
from ..runs.lookup import one_run
from ..sdk.metrics import RECALL
from .common import json_option, load_registry, plugin_option, runs_option
from .layout import aligned, paragraph
from .terminal import echo

if TYPE_CHECKING:
    from ..analysis.comparison.compare import Comparison
    from ..analysis.comparison.examples import Answer, ComparedExample
    from ..contracts import Outcome
    from .console import Console

PROMPT, ANSWER = 150, 60
"""Characters shown of a prompt and of an answer."""
MOST_RECALLS = 3
"""Recalls of classes shown; `--json` has all."""
MOST_KEYS = 8
"""Differing keys shown; `--json` has all."""

INDENT = " " * 6

Row = tuple[str, ...]
AT = re.compile(r"(?P<run>.+)@(?P<round>\d{1,9}|best|last)")


@click.command("compare")
@click.argument("a")
@click.argument("b")
@click.option(
    "--split",
    type=click.Choice(["test", "train", "validation"]),
    default="test",
    show_default=True,
    help="Examples to compare on.",
)
@click.option(
    "--examples",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    metavar="N",
    help="Examples to show for each side; 0: none.",
)
@runs_option
@plugin_option
@json_option
def command(
    a: str,
    b: str,
    split: Any,
    examples: int,
    runs_folder: Path,
    plugin_files: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Compare two runs, A and B, example by example: gains, losses, and differences with intervals.

    A and B are a run's folder, name, or hash prefix. RUN@7 is the run after round 7, RUN@0 its base, RUN@best the round with the best
    validation result; without @, the last round. No model is loaded: outcomes come from the runs' files, texts from their data.
    """
    from ..analysis.comparison.compare import compare
    from ..analysis.comparison.sides import read_side
    from ..analysis.comparison.summary import as_json as content_of

    places = [find_side(word, runs_folder) for word in (a, b)]
    first, second = (read_side(path, moment, split) for path, moment in places)
    found = compare(first, second, _loader(plugin_files), examples)
    if as_json:
        echo(json.dumps(content_of(found), indent=2, allow_nan=False))
    else:
        print_comparison(found)


def find_side(word: str, runs_folder: Path) -> tuple[Path, Any]:
    """The folder and the round of `RUN`, `RUN@7`, `RUN@best` or `RUN@last`; a folder with such a name takes precedence.

    Raises `UsageError` for no run, and for several.
    """
    from ..runs.directory import SPEC

    parts = AT.fullmatch(word)
    if parts is None or any((folder / SPEC).is_file() for folder in (Path(word), runs_folder / word)):
        return one_run(word, runs_folder), "last"
    moment = parts["round"]
    return one_run(parts["run"], runs_folder), int(moment) if moment.isdigit() else moment


def _loader(plugin_files: tuple[Path, ...]) -> Any:
    """A loader of a side's data; plugins are loaded once, at the first call."""
    from functools import cache

    from ..analysis.comparison.examples import LoadedSplit, load_split
    from ..analysis.comparison.sides import Side

    registry = cache(lambda: load_registry(plugin_files))

    def load(side: Side) -> LoadedSplit:
        from .console import Console

        with Console(stderr=True).status(f"loading the data of {side.title}"):
            return load_split(side, registry())

    return load


def print_comparison(found: Comparison) -> None:
    """Print the runs, their metrics, the verdict, gains and losses, and examples."""
    from ..analysis.comparison.compare import verdict
    from .console import Console

    console = Console(highlight=False, soft_wrap=True, emoji=False)
    for line in head(found):
        console.print(line, markup=False)
    for warning in found.warnings:
        _print_text(console, f"warning: {warning}", "yellow")
    console.print()
    for block in (figures(found), table(found), differences(found), changes(found)):
        for line in block:
            console.print(line, markup=False)
        console.print()
    _print_text(console, f"verdict: {verdict(found)}", "bold")
    for line in caveat(found):
        console.print(line, markup=False)
    for name, ids, shown in (
        ("A", found.pairing.only_a, found.only_a),
        ("B", found.pairing.only_b, found.only_b),
    ):
        for line in examples(name, len(ids), shown):
            console.print(line, markup=False)
    for note in found.notes:
        console.print()
        _print_text(console, f"note: {note}", "yellow")


def _print_text(console: Console, text: str, style: str) -> None:
    for line in paragraph(text, "  "):
        console.print(line, style=style, markup=False)


def head(found: Comparison) -> list[str]:
    """Runs and rounds, the differences of their specs, and the examples."""
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
        return ["their specs are equal"]
    shown = list(found.specs.items())[:MOST_KEYS]
    parts = [f"{key} ({_value(one)}, {_value(two)})" for key, (one, two) in shown]
    more = len(found.specs) - len(shown)
    return paragraph(f"they differ in {', '.join(parts)}" + (f", and {more} more" if more else ""), "  ")


def _value(value: Any) -> str:
    """A value as in a spec; for a path, its last part."""
    text = value.rsplit("/", 1)[-1] if isinstance(value, str) and value.startswith("/") else str(value)
    return shortened(text.lower() if isinstance(value, bool) else text, ANSWER)


def figures(found: Comparison) -> list[str]:
    """Accuracy, loss and the task's measures of base, A and B."""
    pairing = found.pairing
    columns = {"base": pairing.a_base, "A": pairing.a, "B": pairing.b}
    if not _alike(pairing.a_base, pairing.b_base):
        columns = {"base of A": pairing.a_base, "A": pairing.a, "base of B": pairing.b_base, "B": pairing.b}
    names = _measures(list(columns.values()), (pairing.a, pairing.b))
    rows: list[Row] = [("", *columns)]
    rows.append(_row("accuracy", [outcome.accuracy for outcome in columns.values()]))
    rows.append(_row("loss", [outcome.mean_loss for outcome in columns.values()]))
    rows += [_row(name, [outcome.measures.get(name) for outcome in columns.values()]) for name in names]
    lines = aligned(rows)
    if names and not pairing.is_whole:
        lines += paragraph(f"({', '.join(names)}: of each run's whole split)", " ")
    left = len({n for outcome in columns.values() for n in outcome.measures if n.startswith(RECALL)}) - sum(
        name.startswith(RECALL) for name in names
    )
    if left:
        lines.append(f"(recall of {count_text(left, 'other class', 'other classes')}: --json)")
    return lines


def _measures(columns: Sequence[Outcome], sides: tuple[Outcome, Outcome]) -> list[str]:
    """Measures to print; of the recalls of classes, those that differ most between the two `sides`, at most `MOST_RECALLS`."""
    found = list(dict.fromkeys(name for outcome in columns for name in outcome.measures))
    a, b = (side.measures for side in sides)
    gaps = {
        name: abs(a[name] - b[name]) for name in found if name.startswith(RECALL) and name in a and name in b
    }
    largest = sorted((name for name, gap in gaps.items() if gap > 0.0), key=lambda name: -gaps[name])
    return [name for name in found if not name.startswith(RECALL)] + largest[:MOST_RECALLS]


def _alike(a: Outcome, b: Outcome) -> bool:
    """Whether one column serves both bases: right on the same examples, with the same printed metrics."""
    texts = [
        (number_text(one.mean_loss, "loss"), {k: number_text(v, k) for k, v in one.measures.items()})
        for one in (a, b)
    ]
    return bool((a.correct == b.correct).all()) and texts[0] == texts[1]


def _row(name: str, values: list[float | None]) -> Row:
    unit = unit_of(name)
    return (f"{name} ({unit})" if unit else name, *(number_text(value, name) for value in values))


def table(found: Comparison) -> list[str]:
    """Counts of right and wrong answers."""
    paired = found.accuracy
    return aligned(
        [
            ("", "B right", "B wrong"),
            ("A right", f"{paired.both:,}", f"{paired.only_first:,}"),
            ("A wrong", f"{paired.only_second:,}", f"{paired.neither:,}"),
        ]
    )


def differences(found: Comparison) -> list[str]:
    """A minus B, with intervals."""
    from ..analysis.comparison.compare import accuracy_sentence, loss_sentence

    share = f"{100 * found.confidence:g} % interval"
    loss = loss_sentence(found)
    after = " " * len("accuracy, A - B   ")
    lines = paragraph(f"accuracy, A - B   {accuracy_sentence(found)} (exact McNemar test; {share})", after)
    return [*lines, *paragraph(f"loss, A - B       {loss}", after)] if loss else lines


def changes(found: Comparison) -> list[str]:
    """Examples that each side gained and lost relative to its base."""
    gained, lost = found.effects.gained, found.effects.lost
    rows: list[Row] = [("relative to the base", "both", "A only", "B only")]
    for name, effect in (
        ("gained (wrong before, right now)", gained),
        ("lost (right before, wrong now)", lost),
    ):
        rows.append((name, *(f"{len(ids):,}" for ids in (effect.both, effect.only_a, effect.only_b))))
    return aligned(rows)


def caveat(found: Comparison) -> list[str]:
    """The limit of the verdict: two models do not compare two settings."""
    if found.same_run or found.same_model or not found.specs:
        return []
    return ["(for these two models only; comparing their settings takes several seeds: boostlora ablate)"]


def examples(name: str, total: int, shown: tuple[ComparedExample, ...]) -> list[str]:
    """Examples that only one side gets right, two lines each if they have a text."""
    if not shown:
        return []
    which = "" if len(shown) == total else f"; {len(shown)} with the largest difference in loss"
    lines = ["", f"only {name} is right: {total:,}{which}"]
    width = max(len(str(one.id)) for one in shown)
    for one in shown:
        start = f"  {one.id:>{width}}  "
        expected = "" if one.expected is None else f"expected {_text(one.expected, ANSWER)} · "
        answers = f"{expected}A {_answer(one.a)} · B {_answer(one.b)}"
        if one.asked is None:
            lines.append(start + answers)
        else:
            lines += [start + _text(one.asked, PROMPT), INDENT + answers]
    return lines


def _answer(answer: Answer) -> str:
    said = ("right" if answer.correct else "wrong") if answer.text is None else _text(answer.text, ANSWER)
    loss = f"loss {number_text(answer.loss, 'loss')}" if math.isfinite(answer.loss) else f"loss {answer.loss}"
    rewarded = f", reward {answer.reward:.2f} over {answer.samples}" if answer.samples > 1 else ""
    return f"{said} ({loss}{rewarded})"


def _text(text: str, most: int) -> str:
    """A text on one line; a long one is cut in the middle, since start and end identify it."""
    text = " ".join(text.split())
    if len(text) > most:
        text = f"{text[: most // 2]} … {text[-(most // 2 - 3) :]}"
    return shortened(text, len(text)) or '""'
