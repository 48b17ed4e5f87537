"""What looks say of a finished study's arms, as people read it."""

from __future__ import annotations

from collections.abc import Iterator

from ..advisor.arm_pairs import WITH, Judged, Kind
from ..advisor.arm_ranking import ArmEnergy, Verdict
from ..advisor.backtest import Backtest, Place
from ..analysis.formats import count_text, difference_unit, is_lower_better, number_text, signed_text, unit_of
from .advised_lines import Row, laid_out, share, wrapped
from .console import Console

STYLES = {"hit": "green", "miss": "red", "open": "yellow"}
LEGEND = (
    "(differences between two arms that are alike but for that: the one as advised less the other; rounds and one shot are alike in basis and "
    "core, and the rounds are those nearest to what is advised; open: seeds disagree, or as many pairs speak for it as against it)"
)
WORDS = {"first": "the next round", "together": "all rounds"}


def print_held(backtest: Backtest) -> None:
    """Print arms with what was seen of them and what became of them, then the advice with what came of it, then the ranking by energy."""
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    seeds = count_text(backtest.seeds, "seed")
    text = (
        f"{backtest.study}: what looks at the base model (seed {backtest.seed}) say of its arms, against where they ended ({backtest.metric}, mean of "
        f"{seeds})"
    )
    for line in (*wrapped(text, ""), "", *_arms(backtest)):
        console.print(line, markup=False)
    for place in backtest.places:
        console.print()
        _print_place(console, backtest, place)
    for line in ("", _counted(backtest), *wrapped(LEGEND, ""), "", *_ranking(backtest)):
        console.print(line, markup=False)
    for note in backtest.notes:
        for line in wrapped(f"note: {note}", ""):
            console.print(line, style="yellow", markup=False)


def _print_place(console: Console, backtest: Backtest, place: Place) -> None:
    for line in _place(backtest, place):
        console.print(line, markup=False)
    for judged in backtest.judged:
        if judged.block == place.block:
            for line in _judged(backtest, judged):
                console.print(line, style=STYLES[judged.outcome] if judged.pairs else None, markup=False)


def _counted(backtest: Backtest) -> str:
    answered = [judged for judged in backtest.judged if judged.pairs]
    counts = [sum(judged.outcome == way for judged in answered) for way in ("hit", "miss", "open")]
    return f"{counts[0]} of {len(answered)} hit, {counts[1]} missed, {counts[2]} open"


def _arms(backtest: Backtest) -> list[str]:
    """The table, block by block."""
    metric = backtest.metric.rpartition(".")[2]
    unit = unit_of(metric)
    titles = ("arm", "basis", "core", "r", "rounds", "sampler", "next round", "all rounds")
    rows: list[Row] = [(*titles, f"{metric} ({unit})" if unit else metric)]
    blocks = list(dict.fromkeys(arm.block for arm in backtest.arms))
    for block in blocks:
        rows += [(block, *[""] * len(titles))] if block else []
        rows += [_arm_row(arm, metric) for arm in backtest.arms if arm.block == block]
    text = (
        "(next round, all rounds: % of the gradient's energy that the arm's own cores hold, of examples that its directions have not "
        "heard)"
    )
    return [*laid_out(rows, gap=2), *wrapped(text, "")]


def _arm_row(arm: ArmEnergy, metric: str) -> Row:
    backtest = ("-" if value is None else share(value) for value in (arm.first, arm.together))
    basis = "-" if arm.first is None else arm.basis
    rounds = f"{arm.rounds}, refits" if arm.refits else str(arm.rounds)
    row = (arm.arm, basis, arm.adapter, str(arm.rank), rounds, arm.sampler)
    return (*row, *backtest, number_text(arm.metric, metric))


def _place(backtest: Backtest, place: Place) -> Iterator[str]:
    """What is advised, and how the arm that is so came out."""
    at = f"{place.block}: " if place.block else ""
    yield from wrapped(f"{at}advised, looking through the spec of {place.looked}: {_kind(place.kind)}", "")
    if place.placed is None:
        yield "  no arm is all of that"
        return
    ended = {arm.arm: _ended(backtest, arm) for arm in backtest.arms if arm.block == place.block}
    text = f"that is {place.arms[0]}: {ended[place.arms[0]]}, "
    if place.placed == 1:
        text += f"the best of {place.of} arms with frames"
    else:
        text += f"number {place.placed} of {place.of} arms with frames; the best is {place.best}: {ended[place.best]}"
    yield from wrapped(text, "  ")


def _ended(backtest: Backtest, arm: ArmEnergy) -> str:
    metric = backtest.metric.rpartition(".")[2]
    return f"{number_text(arm.metric, metric)} {unit_of(metric)}".rstrip()


def _kind(kind: Kind) -> str:
    refits = "refits" if kind.refits == WITH else "no refits"
    return f"{kind.basis}, {kind.core}, {kind.rounds}, {refits}, {kind.sampler}"


def _judged(backtest: Backtest, judged: Judged) -> list[str]:
    """A question, its answer, and what came of pairs that differ in it alone."""
    start = f"  {judged.question:<8} {judged.advised}: "
    if not judged.pairs:
        return [f"{start}not asked, since no two arms differ in that alone"]
    metric = backtest.metric.rpartition(".")[2]
    sign = -1.0 if is_lower_better(metric) else 1.0
    against = dict[str, list[str]]()
    for pair in judged.pairs:
        text = signed_text(sign * pair.mean, metric) + " (seeds disagree)" * (pair.outcome == "open")
        against.setdefault(pair.instead, []).append(text)
    told = "; ".join(f"{instead} {', '.join(found)}" for instead, found in against.items())
    return wrapped(
        f"{start}{judged.outcome}, against {told} {difference_unit(metric)}".rstrip(), "", " " * 11
    )


def _ranking(backtest: Backtest) -> list[str]:
    """How arms would be ranked by energy alone, which knows no sampler, no refits, and no numbers."""
    metric = backtest.metric.rpartition(".")[2]
    rows: list[Row] = [("by energy alone", "first", "best", "behind by", "rank correlation")]
    for verdict in backtest.verdicts:
        by = f"{verdict.block}, {WORDS[verdict.by]}" if verdict.block else WORDS[verdict.by]
        rows.append((by, verdict.picked, verdict.best, *_lost(verdict, metric)))
    return [
        *laid_out(rows),
        "(energy knows nothing of samplers, refits and rounds to come; the advice does not rank by it alone)",
    ]


def _lost(verdict: Verdict, metric: str) -> tuple[str, str]:
    lost = "-" if verdict.hit else f"{number_text(verdict.lost, metric)} {difference_unit(metric)}".strip()
    return lost, "-" if verdict.spearman is None else f"{verdict.spearman:+.2f}"
