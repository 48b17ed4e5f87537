"""Selections of rounds as people read them: lines of the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from ..analysis.formats import difference_unit, interval_text, number_text, unit_of
from ..contracts import Metrics
from ..ensemble.staged_evaluation import Evaluation, Stage, gain
from ..sdk.metrics import lower_is_better
from ..statistics.examples import PairedExamples

PLAIN = ("accuracy", "loss")


def evaluation_lines(found: Evaluation, rounds: int) -> list[str]:
    """A table of splits, and how the selection differs from the base and from all rounds."""
    metrics = [*PLAIN, *sorted(next(iter(found.metrics.values())).measures)]
    title = ["split", "model", *(f"{m} {unit_of(m)}".strip() for m in metrics)]
    table = [title]
    models = [("base", found.base), (f"rounds {found.rounds}", found.metrics)]
    if found.rounds != f"1..{rounds}":
        models.append((f"all {rounds} rounds", found.all_rounds))
    for split in found.metrics:
        for name, by_split in models:
            table.append(
                [split if name == "base" else "", name, *(_value(by_split[split], m) for m in metrics)]
            )
    source = "as recorded when the run had this model" if found.recorded else "computed now"
    lines = [f"rounds {found.rounds}: {source}", "", *aligned(table, left=2), ""]
    split = "test" if "test" in found.metrics else next(iter(found.metrics))
    lines.append(f"{split}: {_difference(found.against_base[split], 'the base')}")
    if len(models) > 2:
        lines.append(f"{split}: {_difference(found.against_all[split], 'all rounds')}")
    return lines


def _value(metrics: Metrics, metric: str) -> str:
    if metric in PLAIN:
        return number_text(float(getattr(metrics, metric)), metric)
    return number_text(metrics.measures.get(metric), metric)


def _difference(pair: PairedExamples | None, other: str) -> str:
    if pair is None:
        return f"no example in common with {other}"
    low, high = pair.interval or (None, None)
    interval = interval_text(low, high, "accuracy")
    return (
        f"{100 * pair.difference:+.1f} points {interval} against {other}: right where it is wrong on {pair.only_first}, wrong where "
        f"it is right on {pair.only_second} of {pair.examples}; p = {pair.p:.2g} (McNemar)"
    )


def stage_lines(found: Sequence[Stage], best: Stage, metric: str) -> list[str]:
    """A line for every stage; the best on validation is marked."""
    metrics = list(dict.fromkeys([*PLAIN, metric]))
    title = ["round", *(f"{s} {m} {unit_of(m)}".strip() for s in ("validation", "test") for m in metrics), ""]
    table = [title]
    for stage in found:
        cells = [_value(getattr(stage, split), m) for split in ("validation", "test") for m in metrics]
        table.append([str(stage.round), *cells, "* best on validation" if stage is best else ""])
    return [*aligned(table), "", f"by {metric} on validation: --rounds {best.round}"]


def one_out_lines(whole: Stage, found: Sequence[Stage], metric: str, rounds: str) -> list[str]:
    """What every round is worth to the model: how much better it is with it."""
    unit = difference_unit(metric)
    title = ["without round", f"validation {metric}", "worth", f"test {metric}", "worth", ""]
    table = [title]
    for stage in found:
        worth = [gain(getattr(stage, s), getattr(whole, s), metric) for s in ("validation", "test")]
        note = "better without it, on validation" if worth[0] < 0 else ""
        table.append(
            [
                str(stage.round),
                _value(stage.validation, metric),
                _signed(worth[0], metric),
                _value(stage.test, metric),
                _signed(worth[1], metric),
                note,
            ]
        )
    better = "lower" if lower_is_better(metric) else "higher"
    return [
        f"rounds {rounds}: validation {_value(whole.validation, metric)}, test {_value(whole.test, metric)} ({metric}, {better} is better)",
        "",
        *aligned(table),
        "",
        f"worth: how much better the model is with the round than without it{f', in {unit}' if unit else ''}",
    ]


def _signed(value: float, metric: str) -> str:
    text = number_text(value, metric)
    return text if text.startswith("-") else f"+{text}"


def aligned(table: Sequence[Sequence[str]], left: int = 0) -> list[str]:
    """Rows of cells as lines; the first `left` columns and the last one, where it is a note, begin at their left."""
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    last = len(widths) - 1 if table[0][-1] == "" else len(widths)
    return [
        "  ".join(
            cell.ljust(width) if i < left or i == last else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]
