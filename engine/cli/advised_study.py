"""What looks say of a finished study's arms, as people read it."""

from __future__ import annotations

from collections.abc import Iterator

from ..advisor.arm_pairs import WITH, Judged, Kind
from ..advisor.arm_ranking import ArmHeld, Verdict
from ..advisor.backtest import Held, Place
from ..analysis.formats import count_text, difference_unit, is_lower_better, number_text, signed_text, unit_of
from .advised_lines import Row, laid_out, share, wrapped
from .console import Console

STYLES = {"hit": "green", "miss": "red", "open": "yellow"}
LEGEND = (
    "(differences between two arms that are alike but for that: the one as advised less the other; rounds and one shot are alike in basis and "
    "core, and the rounds are those nearest to what is advised; open: seeds disagree, or as many pairs speak for it as against it)"
)
WORDS = {"first": "the next round", "together": "all rounds"}


def print_held(held: Held) -> None:
    """Print arms with what was seen of them and what became of them, then the advice with what came of it, then the ranking by energy."""
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    seeds = count_text(held.seeds, "seed")
    text = (
        f"{held.study}: what looks at the base model (seed {held.seed}) say of its arms, against where they ended ({held.metric}, mean of "
        f"{seeds})"
    )
    for line in (*wrapped(text, ""), "", *_arms(held)):
        console.print(line, markup=False)
    for place in held.places:
        console.print()
        _print_place(console, held, place)
    for line in ("", _counted(held), *wrapped(LEGEND, ""), "", *_ranking(held)):
        console.print(line, markup=False)
    for note in held.notes:
        for line in wrapped(f"note: {note}", ""):
            console.print(line, style="yellow", markup=False)


def _print_place(console: Console, held: Held, place: Place) -> None:
    for line in _place(held, place):
        console.print(line, markup=False)
    for judged in held.judged:
        if judged.block == place.block:
            for line in _judged(held, judged):
                console.print(line, style=STYLES[judged.outcome] if judged.pairs else None, markup=False)


def _counted(held: Held) -> str:
    answered = [judged for judged in held.judged if judged.pairs]
    counts = [sum(judged.outcome == way for judged in answered) for way in ("hit", "miss", "open")]
    return f"{counts[0]} of {len(answered)} hit, {counts[1]} missed, {counts[2]} open"


def _arms(held: Held) -> list[str]:
    """The table, block by block."""
    metric = held.metric.rpartition(".")[2]
    unit = unit_of(metric)
    titles = ("arm", "basis", "core", "r", "rounds", "sampler", "next round", "all rounds")
    rows: list[Row] = [(*titles, f"{metric} ({unit})" if unit else metric)]
    blocks = list(dict.fromkeys(arm.block for arm in held.arms))
    for block in blocks:
        rows += [(block, *[""] * len(titles))] if block else []
        rows += [_arm_row(arm, metric) for arm in held.arms if arm.block == block]
    text = (
        "(next round, all rounds: % of the gradient's energy that the arm's own cores hold, of examples that its directions have not "
        "heard)"
    )
    return [*laid_out(rows, gap=2), *wrapped(text, "")]


def _arm_row(arm: ArmHeld, metric: str) -> Row:
    held = ("-" if value is None else share(value) for value in (arm.first, arm.together))
    basis = "-" if arm.first is None else arm.basis
    rounds = f"{arm.rounds}, refits" if arm.refits else str(arm.rounds)
    row = (arm.arm, basis, arm.adapter, str(arm.rank), rounds, arm.sampler)
    return (*row, *held, number_text(arm.metric, metric))


def _place(held: Held, place: Place) -> Iterator[str]:
    """What is advised, and how the arm that is so came out."""
    at = f"{place.block}: " if place.block else ""
    yield from wrapped(f"{at}advised, looking through the spec of {place.looked}: {_kind(place.kind)}", "")
    if place.placed is None:
        yield "  no arm is all of that"
        return
    ended = {arm.arm: _ended(held, arm) for arm in held.arms if arm.block == place.block}
    text = f"that is {place.arms[0]}: {ended[place.arms[0]]}, "
    if place.placed == 1:
        text += f"the best of {place.of} arms with frames"
    else:
        text += f"number {place.placed} of {place.of} arms with frames; the best is {place.best}: {ended[place.best]}"
    yield from wrapped(text, "  ")


def _ended(held: Held, arm: ArmHeld) -> str:
    metric = held.metric.rpartition(".")[2]
    return f"{number_text(arm.metric, metric)} {unit_of(metric)}".rstrip()


def _kind(kind: Kind) -> str:
    refits = "refits" if kind.refits == WITH else "no refits"
    return f"{kind.basis}, {kind.core}, {kind.rounds}, {refits}, {kind.sampler}"


def _judged(held: Held, judged: Judged) -> list[str]:
    """A question, its answer, and what came of pairs that differ in it alone."""
    start = f"  {judged.question:<8} {judged.advised}: "
    if not judged.pairs:
        return [f"{start}not asked, since no two arms differ in that alone"]
    metric = held.metric.rpartition(".")[2]
    sign = -1.0 if is_lower_better(metric) else 1.0
    against = dict[str, list[str]]()
    for pair in judged.pairs:
        text = signed_text(sign * pair.mean, metric) + " (seeds disagree)" * (pair.outcome == "open")
        against.setdefault(pair.instead, []).append(text)
    told = "; ".join(f"{instead} {', '.join(found)}" for instead, found in against.items())
    return wrapped(
        f"{start}{judged.outcome}, against {told} {difference_unit(metric)}".rstrip(), "", " " * 11
    )


def _ranking(held: Held) -> list[str]:
    """How arms would be ranked by energy alone, which knows no sampler, no refits, and no numbers."""
    metric = held.metric.rpartition(".")[2]
    rows: list[Row] = [("by energy alone", "first", "best", "behind by", "rank correlation")]
    for verdict in held.verdicts:
        by = f"{verdict.block}, {WORDS[verdict.by]}" if verdict.block else WORDS[verdict.by]
        rows.append((by, verdict.picked, verdict.best, *_lost(verdict, metric)))
    return [
        *laid_out(rows),
        "(energy knows nothing of samplers, refits and rounds to come; the advice does not rank by it alone)",
    ]


def _lost(verdict: Verdict, metric: str) -> tuple[str, str]:
    lost = "-" if verdict.hit else f"{number_text(verdict.lost, metric)} {difference_unit(metric)}".strip()
    return lost, "-" if verdict.spearman is None else f"{verdict.spearman:+.2f}"
